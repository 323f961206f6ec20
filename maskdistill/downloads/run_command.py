"""Run command: lists of splits and ground truth of a fetched data set, and the command of its run.

In:       DIR with the data set
Out:      DIR/maskdistill/<set>/: lists of names, instances as COCO JSON, made once (delete them to
          have them anew); the command
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from maskdistill.datasets import voc
from maskdistill.downloads import voc_instances as instances_of_voc
from maskdistill.runs import atomic
from maskdistill.runs.progress import Progress

OURS = "maskdistill"


def make(dataset: str, out: Path, progress: Progress) -> list[str]:
    """Write what is missing, for VOC 2012 also when SBD came later.

    Returns:
        Lines that say how to go on, the command of a run among them.
    Raises:
        ValueError: another data set. GroundTruthError: the data set is not whole.
    """
    if dataset == "voc2012" or (dataset == "sbd" and (out / "VOCdevkit" / "VOC2012").is_dir()):
        return _voc2012(out, progress)
    if dataset == "voc2007":
        return _voc2007(out, progress)
    if dataset == "coco2017":
        return [
            _command(
                out / "train2017",
                ["--validation", str(out / "val2017")],
                [out / "annotations" / "instances_val2017.json"],
                "runs/coco2017",
            )
        ]
    if dataset == "coco20k":
        folder = out / OURS / "coco20k"
        words = ["--only", str(folder / "names.txt"), "--preset", "paper-coco20k"]
        return [
            _command(
                out / "coco20k" / "train2014", words, [folder / "instances.json"], "runs/coco20k"
            )
        ]
    if dataset == "sbd":
        return [f"for VOC's trainaug: maskdistill data voc2012 --out {shlex.quote(str(out))}"]
    raise ValueError(f"dataset: {dataset!r} is not known")


def _voc2012(out: Path, progress: Progress) -> list[str]:
    home = voc.find(out / "VOCdevkit" / "VOC2012")
    folder = out / OURS / "voc2012"
    write_list(folder / "val.txt", [f"{name}.jpg" for name in home.names("segmentation/val")])
    write_list(folder / "train.txt", [f"{name}.jpg" for name in home.names("segmentation/train")])
    _instances(home, "segmentation/val", folder / "val.json", progress)
    lines = []
    if (out / "benchmark_RELEASE").is_dir():
        names = voc.trainaug(home, out)
        home.check_pictures(names)
        training = folder / "trainaug.txt"
        write_list(training, [f"{name}.jpg" for name in names])
    else:
        training = folder / "train.txt"
        lines = [
            "trainaug (10582 pictures) needs SBD's lists too: "
            f"maskdistill data sbd --out {shlex.quote(str(out))}"
        ]
    words = [
        "--only",
        str(training),
        "--validation",
        str(folder / "val.txt"),
        "--preset",
        "paper-voc12",
    ]
    return [*lines, _command(home.pictures, words, [folder / "val.json"], "runs/voc12")]


def _voc2007(out: Path, progress: Progress) -> list[str]:
    home = voc.find(out / "VOCdevkit" / "VOC2007")
    folder = out / OURS / "voc2007"
    for split in ("trainval", "test"):
        write_list(
            folder / f"{split}.txt", [f"{name}.jpg" for name in home.names(f"detection/{split}")]
        )
        _instances(home, f"segmentation/{split}", folder / f"{split}.json", progress)
    words = [
        "--only",
        str(folder / "trainval.txt"),
        "--preset",
        "paper-voc12",
        "--until",
        "cluster",
    ]
    support = "the support set of VOC 2012 is then: --cluster.support runs/voc07"
    return [_command(home.pictures, words, [folder / "trainval.json"], "runs/voc07"), support]


def _instances(home: voc.Voc, split: str, out: Path, progress: Progress) -> None:
    if not out.exists():
        progress.say(f"ground truth of {split}: {out}")
        out.parent.mkdir(parents=True, exist_ok=True)
        instances_of_voc.instances(home.root, split, out, of="masks", class_agnostic=False)


def write_list(out: Path, names: Sequence[str]) -> None:
    """Write a list of names, one a line, if it is not there already as it should be."""
    text = "".join(f"{name}\n" for name in names)
    if not out.exists() or out.read_text(encoding="utf-8") != text:
        out.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_text(out, text)


def _command(pictures: Path, words: Sequence[str], truths: Sequence[Path], run: str) -> str:
    truth = [word for path in truths for word in ("--ground-truth", str(path))]
    return shlex.join(["maskdistill", "run", str(pictures), *words, *truth, "--out", run])
