"""The stages of a run, in the order in which data flows: the one place that lists them.

Names and texts alone, so that `--help` and `status` stay light; the work of a stage is in stages/.
Whatever walks over stages (verbs, help, reuse, status, freshness, page) walks over STAGES.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StageEntry:
    """One stage of a run.

    Attributes:
        name: its folder in the run; `detect/train` is a part of the folder of `detect`.
        verb: the command that does it in a run.
        reads: the names of the stages whose results it may read; settings say which it does read.
        writes: its results, relative to its folder (of scan: to the run's folder); `<id>` is a
            picture's.
        help: what its verb does, for `--help`; "" where another stage has the verb's name.
        does: what it does, for the page; "" of a stage that the page does not show.
        always: done again each time, never skipped and never refused.
        optional: a run without it lacks nothing; not taken of another run that has none.
    """

    name: str
    verb: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    help: str = ""
    does: str = ""
    always: bool = False
    optional: bool = False


DETECT_TRAIN, SEGMENT_TRAIN, RECLUSTER = "detect/train", "segment/train", "recluster"
FEATURES = "propose/features"  # a by-product: whatever reads it can do without
EMBEDDINGS = "cluster/embeddings"  # a part of a stage that --reuse takes alone
_CLUSTERING = (
    "embeddings.npy",
    "clusters.jsonl",
    "centroids.npy",
    "clusters.json",
    "projection.npy",
)

STAGES: tuple[StageEntry, ...] = (
    StageEntry(
        name="scan",
        verb="scan",
        reads=(),
        writes=("images.jsonl", "scan/refused.jsonl", "scan/levels.json"),
        help="a folder of pictures -> rows with ids, sizes, content hashes",
        does="Every picture gets a number, a size, a content hash.",
    ),
    StageEntry(
        name="propose",
        verb="propose",
        reads=("scan",),
        writes=("proposals.jsonl", "pool.jsonl"),
        help="pictures -> proposals: masks of a self-supervised backbone",
        does="A backbone that saw no labels proposes masks of objects.",
    ),
    StageEntry(
        name=FEATURES,
        verb="propose",
        reads=("scan",),
        writes=("tokens.bin", "index.json"),
        optional=True,
    ),
    StageEntry(
        name="cluster",
        verb="cluster",
        reads=("scan", "propose"),
        writes=_CLUSTERING,
        help="masks -> clusters: embeddings and k-means",
        does="Masks that look alike get the same cluster.",
    ),
    StageEntry(
        name=DETECT_TRAIN,
        verb="detect",
        reads=("scan", "propose", "cluster"),
        writes=("model.safetensors", "losses.jsonl"),
    ),
    StageEntry(
        name="detect",
        verb="detect",
        reads=("scan", DETECT_TRAIN),
        writes=("detections.jsonl", "found_again.json"),
        help="noisy masks -> a Mask R-CNN, and its detections",
        does="A Mask R-CNN, trained on these noisy masks, says what it finds again and again.",
    ),
    StageEntry(
        name=RECLUSTER,
        verb="label",
        reads=("scan", "propose", "cluster", "detect"),
        writes=_CLUSTERING,
        does="The detections, cleaner than the proposals, are clustered once more.",
    ),
    StageEntry(
        name="label",
        verb="label",
        reads=("scan", "propose", "detect", "cluster", RECLUSTER),
        writes=("coverage.json", "maps/<id>.png"),
        help="confident detections -> label maps",
        does="Confident detections are painted as label maps.",
    ),
    StageEntry(
        name=SEGMENT_TRAIN,
        verb="segment",
        reads=("scan", "label", DETECT_TRAIN),
        writes=("model.safetensors", "losses.jsonl", "looks.jsonl"),
    ),
    StageEntry(
        name="segment",
        verb="segment",
        reads=("scan", SEGMENT_TRAIN),
        writes=("predictions/<id>.png",),
        help="label maps -> a DeepLabv3, and its predictions",
        does="A DeepLabv3, trained on the label maps, segments every picture.",
    ),
    StageEntry(
        name="evaluate",
        verb="evaluate",
        reads=("scan", "propose", "cluster", "detect", RECLUSTER, "label", "segment"),
        writes=(
            "metrics.json",
            "metrics.md",
            "metrics.csv",
            "classes.md",
            "classes.csv",
            "confusion-<split>-<stage>.csv",
            "against.json",
            "against.md",
        ),
        help="all of it against ground truth, where there is some",
        always=True,
    ),
    StageEntry(
        name="report",
        verb="report",
        reads=("scan", "propose", "cluster", "detect", RECLUSTER, "label", "segment", "evaluate"),
        writes=("index.html",),
        help="one page that shows it all",
        always=True,
    ),
)
BY_NAME = {entry.name: entry for entry in STAGES}
VERBS = tuple(dict.fromkeys(entry.verb for entry in STAGES))
HELP = {entry.verb: entry.help for entry in STAGES if entry.help}


def verb_of(name: str) -> str:
    """Return the verb that does a stage in a run.

    >>> verb_of("recluster"), verb_of("detect/train")
    ('label', 'detect')
    """
    return BY_NAME[name].verb
