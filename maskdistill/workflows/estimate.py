"""How long and how much disk a run will take, said before it starts. Measured on one machine, so only roughly right."""

from __future__ import annotations

from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.features import wanted_size
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.stage_parts import train_network

# Seconds on two cores without AVX-512, float32; docs/log/estimate.md says how they were taken.
SECONDS_PER_PATCH = {"vits16": 1.2e-3, "vits8": 3.0e-3, "vitb16": 3.7e-3, "vitb8": 7.3e-3}
HANDCRAFTED_SECONDS = 2.5e-7  # a pair of patches: its graph is dense
STEP_SECONDS = {
    ("detect", "small"): 1.4e-5,
    ("detect", "resnet50"): 5.0e-5,
    ("segment", "small"): 1.4e-5,
    ("segment", "resnet50"): 2.0e-5,
}
DETECT_SECONDS = {"small": 0.15, "resnet50": 2.4}  # a picture
GPU_FASTER = 40.0  # a current GPU against two cores: an order of magnitude, no measurement
CROP_SIDE = 320  # px of a detection's crop, where no setting bounds it
BYTES_A_PICTURE = 40_000  # masks, label maps, predictions


def sentence(job: Job, verbs: list[str]) -> str:
    """One sentence: pictures, hours, disk; apart from them what depends on how much the detector will find."""
    hours, gigabytes = expected(job, verbs)
    more = most_of_detections(job) if "label" in verbs else 0.0
    apart = (
        f"; not counted: up to {_time(more)} to embed the detections, which are clustered too"
        if more
        else ""
    )
    known = f"about {_time(hours)} on this machine (a rough guess) and {gigabytes:.1f} GB of disk"
    return f"{len(job.images)} pictures: {known}{apart}"


def _time(hours: float) -> str:
    return f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"


def expected(job: Job, verbs: list[str]) -> tuple[float, float]:
    """(hours, gigabytes) of the stages that will be done."""
    settings = job.settings
    n = len(job.images)
    seconds = 0.0
    given = {name for name in ("propose", "detect") if getattr(settings, name).import_file}
    repeated = _repeated(job)
    if "propose" in verbs and "propose" not in given:
        seconds += n * _backbone_seconds(job)
    if "cluster" in verbs and settings.cluster.embedding != "descriptors":
        seconds += n * _backbone_seconds(job) * 0.5
    for stage, own, pixels in (
        ("detect", settings.detect, settings.detect.short_side**2 * 1.33),
        ("segment", settings.segment, settings.segment.side**2),
    ):
        if stage in verbs and stage not in given:
            steps = train_network.steps_of(own.train, n, stage)
            seconds += (
                repeated * steps * own.train.batch * pixels * STEP_SECONDS[stage, own.size] / 4
            )
            seconds += repeated * n * DETECT_SECONDS[own.size]
    if networks.device(job).type == "cuda":
        seconds /= GPU_FASTER
    per_step = {"small": 0.01, "resnet50": 0.18}
    trained = per_step[settings.detect.size] + per_step[settings.segment.size]
    gigabytes = repeated * n * BYTES_A_PICTURE / 1e9 + (3 + repeated) * trained
    return seconds / 3600, gigabytes


def most_of_detections(job: Job) -> float:
    """Hours to embed all detections that a picture can have, each a square crop; 0 where they are not, or by hand.

    How many there will be is not known before the detector is trained, so that this is told as a bound.
    """
    own, detect = job.settings.cluster, job.settings.detect
    if not own.again or own.embedding == "descriptors":
        return 0.0
    side = min(own.min_side or own.max_side or CROP_SIDE, own.max_side or CROP_SIDE)
    crops = sum(scale**2 for scale in own.scales) * (2 if own.flips else 1)
    patches = (side / _patch(own.backbone)) ** 2 * crops
    n = len(job.images) * (detect.import_top or detect.max_detections)
    seconds = _repeated(job) * n * patches * _seconds_per_patch(own.backbone)
    return seconds / (GPU_FASTER if networks.device(job).type == "cuda" else 1) / 3600


def _repeated(job: Job) -> int:
    """How often what follows the proposals is done."""
    return (
        job.settings.seeds if job.settings.seeds_of == "chain" else 1
    )  # k-means alone takes seconds


def _patch(backbone: str) -> int:
    """Its side in pixels."""
    small = "8" in backbone.rpartition("vit")[2][:3] and "16" not in backbone
    return 8 if small or backbone == HANDCRAFTED else 16


def _seconds_per_patch(backbone: str) -> float:
    return SECONDS_PER_PATCH[
        next((key for key in SECONDS_PER_PATCH if backbone.endswith(key)), "vits16")
    ]


def _backbone_seconds(job: Job) -> float:
    """Of one picture."""
    propose = job.settings.propose
    by_hand = propose.backbone == HANDCRAFTED
    sizes = [image.size for image in job.images[:200]]
    own = getattr(propose, propose.method)
    short_side, square = getattr(own, "short_side", 0) or None, getattr(own, "square", 0) or None
    patch = _patch(propose.backbone)
    resized = [
        wanted_size(
            size,
            patch,
            short_side=short_side,
            square=square,
            max_patches=propose.max_patches or None,
        )
        for size in sizes
    ]
    patches = [height * width / patch**2 for height, width in resized]
    if by_hand:
        return sum(each**2 for each in patches) / len(patches) * HANDCRAFTED_SECONDS
    return sum(patches) / len(patches) * _seconds_per_patch(propose.backbone)
