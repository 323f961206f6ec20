"""Layout of a run's folder: every path of a run is made here, and nowhere else.

`RunFolder(root).detect.masks` is a path, `RunFolder(root).detect.record` that of its stage.json.
Nothing is read or made. The names of what each stage writes are listed in stages.py too, and that
of a journal in journal.py; a test holds layout and stages against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, overload

from maskdistill.runs.stages import BY_NAME, DETECT_TRAIN, FEATURES, RECLUSTER, SEGMENT_TRAIN


class _Place(Protocol):
    @property
    def path(self) -> Path: ...


class File:
    """Attribute of a folder: the path of a file or sub-folder in it."""

    def __init__(self, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, folder: None, owner: type) -> File: ...

    @overload
    def __get__(self, folder: _Place, owner: type) -> Path: ...

    def __get__(self, folder: _Place | None, owner: type) -> File | Path:
        return self if folder is None else folder.path / self.name


@dataclass(frozen=True)
class Parts:
    """Paths below a stage's parts/, which is there while the stage is under way."""

    path: Path

    plan = File("plan.json")  # the parts of the fingerprint that the stage was begun with
    machines = File("machines.json")  # devices and thread counts that it was worked at with
    seconds = File("seconds.json")  # time worked at it in earlier sittings
    halved = File("halved")  # mark: a training batch was cut to fit into memory
    losses = File("losses.jsonl")  # of a training so far, a step a line
    looks = File("looks.jsonl")  # what each look at the ground truth gave
    best = File("best.safetensors")  # weights of the best look so far
    best_look = File("best.json")  # step and value of it
    normalised = File("normalised.npy")  # whitened embeddings of all masks
    learnt = File("learnt.npy")  # whitened embeddings that k-means is fitted on
    reused = File("taken")  # where outputs of another run wait until all of them are there

    def begun_with(self) -> set[Path]:
        """Return the files that say how a stage was begun, without those of its results."""
        return {self.plan, self.machines, self.seconds}


@dataclass(frozen=True)
class StageFolder:
    """Folder of a stage.

    Attributes:
        path: the folder.
        base: the folder that the names of outputs are relative to: of scan the run's, else `path`.
    """

    path: Path
    base: Path

    record = File("stage.json")  # written last: without it the stage is not complete

    @property
    def parts(self) -> Parts:
        """Return the folder that is there while the stage is under way."""
        return Parts(self.path / "parts")

    @property
    def reused(self) -> Path:
        """Return the folder where outputs of another run wait.

        That of scan lies beside scan/, which is itself among what is taken.
        """
        return self.parts.reused if self.path == self.base else self.base / "taken"


class ScanFolder(StageFolder):
    """scan/; its main result, images.jsonl, lies beside it."""

    refused = File("refused.jsonl")  # pictures that were left out, a line each, with the reason
    levels = File("levels.json")  # black and white of all pictures, where `levels` is stretch_all


class ProposeFolder(StageFolder):
    """propose/."""

    masks = File("proposals.jsonl")  # a picture a line
    pool = File(
        "pool.jsonl"
    )  # all masks that were pooled, a picture a line, where propose.pool is on


class FeaturesFolder(StageFolder):
    """propose/features/: tokens that the pass for the proposals leaves for later stages."""

    tokens = File("tokens.bin")  # float16 numbers of one picture after the other
    index = File("index.json")  # where each picture stands in them
    # The tokens so far, while propose is under way: a folder of propose's, as parts/ is no more.
    so_far = File("so-far")

    @property
    def begun(self) -> BegunFeaturesFolder:
        """Return the folder that the tokens are gathered in."""
        return BegunFeaturesFolder(self.so_far, self.so_far)


class BegunFeaturesFolder(StageFolder):
    """propose/features/so-far/; its parts/ hold a journal and the plan."""

    tokens = File("tokens.bin")


class ClusterFolder(StageFolder):
    """cluster/ and recluster/; also detect/ of imported detections: `about`, `names` alone."""

    embeddings = File("embeddings.npy")  # vectors (n, d) of all masks, in file order
    clusters = File("clusters.jsonl")  # the cluster of each mask, a mask a line
    centroids = File("centroids.npy")  # (k, d), whitened
    projection = File("projection.npy")  # that whitens, where it is by principal components
    about = File("clusters.json")  # how many clusters, their sizes and exemplars, the settings
    names = File("names.json")  # that clusters were given after everything was learnt


class TrainFolder(StageFolder):
    """detect/train/ and segment/train/."""

    weights = File("model.safetensors")  # that predictions are made with
    losses = File("losses.jsonl")  # a step a line
    looks = File("looks.jsonl")  # where weights are chosen by ground truth: what each look gave


class DetectFolder(StageFolder):
    """detect/."""

    masks = File("detections.jsonl")  # a picture a line
    found_again = File("found_again.json")  # how many of its training masks the detector finds


class _Maps(StageFolder):
    maps = File("maps")

    def map_of(self, image_id: int) -> Path:
        """Return the path of a picture's label map, which need not be there."""
        return self.maps / f"{image_id}.png"


class LabelFolder(_Maps):
    """label/: pseudo-labels."""

    maps = File("maps")  # a label map a picture
    coverage = File("coverage.json")  # how much of each picture is painted, with how many masks


class SegmentFolder(_Maps):
    """segment/: predictions."""

    maps = File("predictions")  # a label map a picture


class EvaluateFolder(StageFolder):
    """evaluate/: every number, for programs, for people, as CSV; by class too."""

    metrics = File("metrics.json")
    table = File("metrics.md")
    rows = File("metrics.csv")
    classes_table = File("classes.md")
    classes_rows = File("classes.csv")
    against = File("against.json")  # the comparison with another run
    against_table = File("against.md")

    def confusion(self, split: str, stage: str) -> Path:
        """Return the CSV with pixels by true and predicted class, of a split and a stage."""
        return self.path / f"confusion-{split}-{stage.replace(':', '-')}.csv"

    def confusions(self) -> list[Path]:
        """Return the paths of all confusions that are there, sorted."""
        return sorted(self.path.glob("confusion-*.csv"))


class ReportFolder(StageFolder):
    """report/."""

    page = File("index.html")


class SweepFolder(StageFolder):
    """sweep/: what `propose --sweep` tried, and what a run chose by itself; no stage."""

    table = File("table.json")  # a row a combination, the best first
    chosen = File("chosen.json")  # what the run chose of it, and what that rests on


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; each stage's folder is an attribute."""

    root: Path

    @property
    def path(self) -> Path:
        """Return the run's folder."""
        return self.root

    config = File("config.yaml")  # the settings that the run was made with, whole
    images = File("images.jsonl")  # the pictures, a line each, frozen by scan
    ledger = File("ledger.jsonl")  # what happened, an event a line
    lock = File("lock")  # held by the process that works at the run

    @property
    def old(self) -> RunFolder:
        """Return the folder that keeps a replaced result until the new one is complete."""
        return RunFolder(self.root / "old")

    def seed(self, number: int) -> RunFolder:
        """Return the folder of the run with another seed: a run of its own."""
        return RunFolder(self.root / "seeds" / str(number))

    def export(self, of: str) -> Path:
        """Return the file that masks go to as a COCO dataset when no other is named."""
        return self.root / "export" / f"coco-{of}.json"

    @property
    def scan(self) -> ScanFolder:
        return ScanFolder(self.root / "scan", self.root)

    @property
    def propose(self) -> ProposeFolder:
        return ProposeFolder(*self._places("propose"))

    @property
    def propose_features(self) -> FeaturesFolder:
        return FeaturesFolder(*self._places(FEATURES))

    @property
    def cluster(self) -> ClusterFolder:
        return ClusterFolder(*self._places("cluster"))

    @property
    def recluster(self) -> ClusterFolder:
        return ClusterFolder(*self._places(RECLUSTER))

    @property
    def own_clusters(self) -> ClusterFolder:
        """Return detect/ as the clustering that detections bring with them."""
        return ClusterFolder(*self._places("detect"))

    @property
    def detect_train(self) -> TrainFolder:
        return TrainFolder(*self._places(DETECT_TRAIN))

    @property
    def detect(self) -> DetectFolder:
        return DetectFolder(*self._places("detect"))

    @property
    def label(self) -> LabelFolder:
        return LabelFolder(*self._places("label"))

    @property
    def segment_train(self) -> TrainFolder:
        return TrainFolder(*self._places(SEGMENT_TRAIN))

    @property
    def segment(self) -> SegmentFolder:
        return SegmentFolder(*self._places("segment"))

    @property
    def evaluate(self) -> EvaluateFolder:
        return EvaluateFolder(*self._places("evaluate"))

    @property
    def report(self) -> ReportFolder:
        return ReportFolder(*self._places("report"))

    @property
    def sweep(self) -> SweepFolder:
        return SweepFolder(*self._places("sweep"))

    def stage(self, name: str) -> StageFolder:
        """Return the folder of a stage by its name in STAGES; KeyError for another name."""
        assert name in BY_NAME, name
        folder: StageFolder = getattr(self, name.replace("/", "_"))
        return folder

    def _places(self, name: str) -> tuple[Path, Path]:
        return self.root / name, self.root / name
