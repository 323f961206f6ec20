"""How long and how much disk a run will take, said before it starts. Measured on one machine, so only roughly right."""

from __future__ import annotations

from maskdistill.features import wanted_size
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.stages import backbones, training
from maskdistill.stages.skeleton import Job

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
BYTES_A_PICTURE = 40_000  # masks, label maps, predictions


def sentence(job: Job, verbs: list[str]) -> str:
    """One sentence: pictures, hours, disk."""
    hours, gigabytes = expected(job, verbs)
    time = f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.1f} hours"
    return f"{len(job.images)} pictures: about {time} on this machine (a rough guess) and {gigabytes:.1f} GB of disk"


def expected(job: Job, verbs: list[str]) -> tuple[float, float]:
    """(hours, gigabytes) of the stages that will be done."""
    settings = job.settings
    n = len(job.images)
    seconds = 0.0
    given = {name for name in ("propose", "detect") if getattr(settings, name).import_file}
    repeated = settings.seeds if settings.seeds_of == "chain" else 1  # k-means alone takes seconds
    if "propose" in verbs and "propose" not in given:
        seconds += n * _backbone_seconds(job)
    if "cluster" in verbs and settings.cluster.embedding == "class_token":
        seconds += n * _backbone_seconds(job) * 0.5
    for stage, own, pixels in (
        ("detect", settings.detect, settings.detect.short_side**2 * 1.33),
        ("segment", settings.segment, settings.segment.side**2),
    ):
        if stage in verbs and stage not in given:
            steps = training.steps_of(own.train, n, stage)
            seconds += repeated * steps * own.train.batch * pixels * STEP_SECONDS[stage, own.size] / 4
            seconds += repeated * n * DETECT_SECONDS[own.size]
    if backbones.device(job).type == "cuda":
        seconds /= GPU_FASTER
    networks = {"small": 0.01, "resnet50": 0.18}
    trained = networks[settings.detect.size] + networks[settings.segment.size]
    gigabytes = repeated * n * BYTES_A_PICTURE / 1e9 + (3 + repeated) * trained
    return seconds / 3600, gigabytes


def _backbone_seconds(job: Job) -> float:
    """Of one picture."""
    propose = job.settings.propose
    by_hand = propose.backbone == HANDCRAFTED
    sizes = [image.size for image in job.images[:200]]
    own = getattr(propose, propose.method)
    short_side, square = getattr(own, "short_side", 0) or None, getattr(own, "square", 0) or None
    small = by_hand or ("8" in propose.backbone.rpartition("vit")[2][:3] and "16" not in propose.backbone)
    patch = 8 if small else 16
    resized = [
        wanted_size(size, patch, short_side=short_side, square=square, max_patches=propose.max_patches or None)
        for size in sizes
    ]
    patches = [height * width / patch**2 for height, width in resized]
    if by_hand:
        return sum(each**2 for each in patches) / len(patches) * HANDCRAFTED_SECONDS
    kind = next((key for key in SECONDS_PER_PATCH if propose.backbone.endswith(key)), "vits16")
    return sum(patches) / len(patches) * SECONDS_PER_PATCH[kind]
