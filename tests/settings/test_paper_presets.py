"""The presets of the paper: each setting is published, or its line says `assumed:` and by whom; none is left out."""

import re
from importlib import resources

import pytest
import yaml
from PIL import Image

from maskdistill import cli
from maskdistill.settings import PRESETS, about, load, preset, resolve

NAMES = ("paper-voc12", "paper-coco20k")
# Setting -> (value on VOC, value on COCO20k) as the paper or what its release does (docs/reproduce.md) have it.
PUBLISHED = {
    "weights.propose": ("dino_vits16",) * 2,
    "weights.cluster": ("dino_vits8",) * 2,
    "weights.segment": ("moco_v2_resnet50",) * 2,
    "propose.backbone": ("dino_vits16",) * 2,
    "propose.method": ("maskdistill",) * 2,
    "propose.block": (-1,) * 2,
    "propose.facet": ("keys",) * 2,
    "propose.centre_keys": ("no",) * 2,
    "propose.max_masks": (1,) * 2,
    "propose.stop_score": (0.0,) * 2,
    "propose.min_score": (0.0,) * 2,
    "propose.pixels": ("nearest",) * 2,
    "propose.maskdistill.short_side": (640,) * 2,
    "propose.maskdistill.top_fraction": (0.4,) * 2,
    "propose.maskdistill.mass": (0.5,) * 2,
    "propose.maskdistill.mass_rule": ("signed",) * 2,
    "cluster.embedding": ("class_token",) * 2,
    "cluster.backbone": ("dino_vits8",) * 2,
    "cluster.background": ("keep",) * 2,
    "cluster.scales": ([1.0],) * 2,
    "cluster.flips": (False,) * 2,
    "cluster.min_side": (0,) * 2,
    "cluster.max_side": (0,) * 2,
    "cluster.k": (20, 80),
    "cluster.merge_from": (0,) * 2,
    "cluster.kmeans": ("minibatch",) * 2,
    "cluster.restarts": (1,) * 2,
    "cluster.whiten": (True,) * 2,
    "cluster.whitening": ("deviation",) * 2,
    "cluster.support": ("",) * 2,
    "cluster.flag_far": (0.0,) * 2,
    "cluster.flag_border": (1.0,) * 2,
    "cluster.flag_area": (1.0,) * 2,
    "cluster.flag_score": (0.0,) * 2,
    "cluster.drop": (False,) * 2,
    "cluster.again": (False,) * 2,
    "detect.min_proposal_score": (0.0,) * 2,
    "label.min_score": (0.9,) * 2,
    "label.keep_best": (True,) * 2,
    "label.keep_best_stage": (False,) * 2,
    "label.overlap": ("legacy",) * 2,
    "label.shape": ("mask",) * 2,
    "segment.size": ("resnet50",) * 2,
    "segment.side": (512,) * 2,
    "segment.hardest": (0.2,) * 2,
    "segment.pixels": ("plain",) * 2,
    "segment.train.steps": (45 * (10_582 // 16), 45 * (19_817 // 16)),
    "segment.train.batch": (16,) * 2,
    "segment.train.optimiser": ("sgd",) * 2,
    "segment.train.learning_rate": (0.002,) * 2,
    "segment.train.weight_decay": (1e-4,) * 2,
    "segment.train.warm_up": (0,) * 2,
    "segment.train.decay": ("steps",) * 2,
    "segment.train.drops": ([0.911111],) * 2,
    "segment.train.clip_norm": (0.0,) * 2,
    "segment.train.average": (0.0,) * 2,
    "segment.train.augment.flip": (True,) * 2,
    "segment.train.augment.degrees": (5.0,) * 2,
    "segment.train.augment.scale": ([0.75, 1.25],) * 2,
    "segment.train.augment.shift": (0.0,) * 2,
    "segment.train.augment.colour": (0.0,) * 2,
    "evaluate.protocol": ("paper",) * 2,
    "evaluate.matching": ("iou",) * 2,
    "evaluate.votes": ("release",) * 2,
}


def lines_of(name: str) -> dict[str, tuple[object, str]]:
    """Setting -> (value, the line of the file that it stands on); each entry of `weights` for itself."""
    text = (
        resources.files("maskdistill")
        .joinpath("presets", f"{name}.yaml")
        .read_text(encoding="utf-8")
    )
    rows = text.splitlines()
    found: dict[str, tuple[object, str]] = {}

    def walk(node: yaml.Node, prefix: str) -> None:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if prefix or key.value != "about":
                    walk(value, f"{prefix}.{key.value}" if prefix else key.value)
        elif prefix == "weights":
            for each in node.value:
                stage, _, what = each.value.partition("=")
                found[f"weights.{stage}"] = (what, rows[each.start_mark.line])
        else:
            value = yaml.safe_load(yaml.serialize(node))
            assert node.start_mark.line == node.end_mark.line, f"{prefix}: one setting a line"
            found[prefix] = (value, rows[node.start_mark.line])

    (root,) = [yaml.compose(text)]
    walk(root, "")
    return found


@pytest.mark.parametrize("place, name", list(enumerate(NAMES)), ids=NAMES)
def test_every_setting_of_the_presets_is_published_or_marked_as_assumed(
    place: int, name: str
) -> None:
    found = lines_of(name)
    for key, (value, line) in found.items():
        if key in PUBLISHED:
            assert "assumed:" not in line, f"{key} is published"
            assert value == PUBLISHED[key][place], key
        else:
            source = re.search(r"# assumed: (.*)$", line)
            assert source is not None, f"{key}: neither published nor assumed: {line}"
            assert len(source.group(1).split()) > 0
    assert set(PUBLISHED) <= set(found)
    assert {
        key for key in found if key.startswith(("detect.train", "detect.nms", "weights.detect"))
    } - set(PUBLISHED)


@pytest.mark.parametrize("name", NAMES)
def test_the_lines_are_those_that_are_loaded(name: str) -> None:
    values = preset(name)
    for key, (value, _) in lines_of(name).items():
        if key.startswith("weights."):
            assert f"{key.partition('.')[2]}={value}" in values["weights"]
            continue
        at = values
        for part in key.split("."):
            at = at[part]
        assert at == value
    assert resolve(load(preset_name=name)).preset == name


@pytest.mark.parametrize(
    "name, scores",
    [("paper-voc12", ("45.8", "48.46", "3 points")), ("paper-coco20k", ("15.3", "8.0"))],
)
def test_what_is_known_of_hours_and_scores_is_told_and_is_no_setting(
    name: str, scores: tuple[str, ...]
) -> None:
    told = "\n".join(about(name))
    assert "hours not measured" in told
    for score in scores:
        assert score in told
    assert "about" not in preset(name)


def test_other_presets_promise_nothing() -> None:
    assert [about(name) for name in (*PRESETS, "nobody's") if name not in NAMES] == [[]] * (
        len(PRESETS) - 1
    )


def test_the_rate_falls_after_epoch_40_of_45_as_in_the_release() -> None:
    from maskdistill.training.schedule import factor

    for name, per_epoch in (("paper-voc12", 661), ("paper-coco20k", 1238)):
        train = load(preset_name=name).segment.train
        plan = {
            "steps": train.steps,
            "warm_up": train.warm_up,
            "decay": train.decay,
            "drops": train.drops,
        }
        rates = [factor(epoch * per_epoch, **plan) for epoch in range(45)]
        assert rates == pytest.approx([1.0] * 41 + [0.1] * 4)
        assert factor(41 * per_epoch - 1, **plan) == 1.0


def test_run_says_before_it_starts_what_is_known_of_the_numbers(tmp_path, capsys) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.new("RGB", (8, 6)).save(pictures / "a.png")
    words = [
        "run",
        str(pictures),
        "--out",
        str(tmp_path / "run"),
        "--preset",
        "paper-voc12",
        "--until",
        "scan",
    ]
    assert cli.main(words) == 0
    told = capsys.readouterr().err
    assert [line for line in about("paper-voc12") if line not in told] == []
    assert told.index("48.46") < told.index("scan")
