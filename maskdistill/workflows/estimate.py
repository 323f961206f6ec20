"""Estimate: how long and how much disk a run will take, said before it starts.

In:   the pictures' sizes, the settings, the speed of this machine (one matrix product, timed)
Out:  one sentence; docs/log/estimate.md says how its constants were measured, how far to trust it
"""

from __future__ import annotations

import re
import time

from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.features import wanted_size
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.settings.segment import BACKBONE
from maskdistill.stage_parts import train_network

# The unit of all work: a product of two square float32 matrices of that side, in the run's threads.
# benchmarks/bench_estimate.py measures the others in it, so that they hold on any machine.
SIDE = 768
# A ViT does (a + b * patches) * patches: a grows with the square of the width, b with the width.
PATCH, PAIR = 0.07, 2.2e-5  # 12 blocks of width 384: a patch, a pair of patches
WIDTHS = {  # width, blocks
    "tiny": (192, 12),
    "small": (384, 12),
    "base": (768, 12),
    "large": (1024, 24),
    "huge": (1280, 32),
    "giant": (1408, 40),
}
BY_HAND = 1.1e-5  # a pair of patches: its graph is dense
STEP = {  # a pixel of a batch, forward and back
    ("detect", "small"): 5e-4,
    ("detect", "resnet50"): 1.8e-3,
    ("detect", "backbone"): 1.5e-4,  # a token is 8 px wide
    ("segment", "small"): 4e-4,
    ("segment", "resnet50"): 5.7e-4,
}
PREDICTION = {"small": 60.0, "resnet50": 960.0, "backbone": 12.0}  # a picture
# A head on patches: a patch and pass, and more a channel of the backbone; a picture's prediction.
PATCH_PASS, PATCH_CHANNEL, PATCH_PREDICTION = 1.5e-3, 1.9e-5, 8.0
CRF = 35.0  # a mask drawn to its picture's edges
GPU_FASTER = 40.0  # a current GPU against two cores: an order of magnitude, no measurement
CROP_SIDE = 320  # px of a detection's crop, where no setting bounds it
BYTES_A_PICTURE = 40_000  # masks, label maps, predictions
SEEN = 200  # pictures whose sizes speak for all


def sentence(job: Job, verbs: list[str]) -> str:
    """Return one sentence: pictures, hours, disk; apart from them what the detector decides.

    How many masks it will find is not known before it is trained.
    """
    product = product_seconds()
    hours, gigabytes = expected(job, verbs, product)
    more = most_of_detections(job, product) if "label" in verbs else 0.0
    apart = ""
    if more:
        apart = f"; not counted: up to {_time(more, about='')} to embed the detections, which are clustered too"
    known = f"{_time(hours)} on this machine (a rough guess) and {gigabytes:.1f} GB of disk"
    return f"{len(job.images)} pictures: {known}{apart}"


def product_seconds() -> float:
    """Return the seconds of the unit of work on this machine, in the threads that torch has."""
    import torch

    one, other = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    took = []
    for _ in range(6):  # the first one warms up
        began = time.perf_counter()
        torch.mm(one, other)
        took.append(time.perf_counter() - began)
    return min(took)


def expected(job: Job, verbs: list[str], product: float) -> tuple[float, float]:
    """Return (hours, gigabytes) of the stages that will be done.

    Args:
        product: seconds of the unit of work.
    """
    settings = job.settings
    n, repeated = len(job.images), _repeated(job)
    given = {name for name in ("propose", "detect") if getattr(settings, name).import_file}
    work = 0.0
    if "propose" in verbs and "propose" not in given:
        work += n * _proposals(job)
    if "cluster" in verbs and settings.cluster.embedding != "descriptors":
        work += (
            n * _forward(settings.cluster.backbone, _patches(job, settings.cluster.backbone)) / 2
        )
    for stage, own, pixels in (
        ("detect", settings.detect, settings.detect.short_side**2 * 1.33),
        ("segment", settings.segment, settings.segment.side**2),
    ):
        if stage in verbs and own is settings.segment and settings.segment.size == BACKBONE:
            work += repeated * _on_patches(job)
        elif stage in verbs and stage not in given:
            on_tokens = own is settings.detect and settings.detect.on_tokens
            if on_tokens:
                pixels = 64 * _patches(job, settings.propose.backbone)
            steps = train_network.steps_of(own.train, n, stage, on_tokens=on_tokens)
            work += repeated * steps * own.train.batch * pixels * STEP[stage, own.size]
            work += repeated * n * PREDICTION[own.size]
    kept = _kept_bytes(job) if "propose" in verbs else 0.0
    per_network = {"small": 0.01, "resnet50": 0.18, BACKBONE: 0.005}
    trained = per_network[settings.detect.size] + per_network[settings.segment.size]
    gigabytes = repeated * n * BYTES_A_PICTURE / 1e9 + (3 + repeated) * trained + kept / 1e9
    return work * product / _faster(job) / 3600, gigabytes


def most_of_detections(job: Job, product: float) -> float:
    """Return the hours to embed all detections that a picture can have, each a square crop.

    It is a bound, and 0 where detections are not embedded, or by hand.

    Args:
        product: seconds of the unit of work.
    """
    own, detect = job.settings.cluster, job.settings.detect
    if not own.again or own.embedding == "descriptors":
        return 0.0
    side = min(own.min_side or own.max_side or CROP_SIDE, own.max_side or CROP_SIDE)
    crops = sum(scale**2 for scale in own.scales) * (2 if own.flips else 1)
    patches = (side / patch_of(own.backbone)) ** 2
    n = len(job.images) * (detect.import_top or detect.max_detections)
    work = _repeated(job) * n * crops * _forward(own.backbone, patches)
    return work * product / _faster(job) / 3600


def patch_of(backbone: str) -> int:
    """Return the side of a backbone's patches in px, by its name.

    >>> patch_of("dino_vits8"), patch_of("timm/vit_small_patch14_dinov2"), patch_of("handcrafted")
    (8, 14, 8)
    """
    if backbone == HANDCRAFTED:
        return 8
    found = re.search(r"patch(\d+)", backbone) or re.search(r"vit[a-z]+(\d+)$", backbone)
    return int(found[1]) if found else 16


def width_of(backbone: str) -> tuple[int, int]:
    """Return (width, blocks) of a ViT by its name, those of ViT-S where the name does not say.

    >>> width_of("dino_vitb16"), width_of("timm/vit_large_patch14_dinov2")
    ((768, 12), (1024, 24))
    """
    for size, shape in WIDTHS.items():
        if size in backbone or re.search(rf"vit{size[0]}\d+$", backbone):
            return shape
    return WIDTHS["small"]


def _forward(backbone: str, patches: float) -> float:
    """Return the work of one pass of a ViT over so many patches."""
    width, blocks = width_of(backbone)
    wider, deeper = width / 384, blocks / 12
    return patches * deeper * (PATCH * wider**2 + PAIR * wider * patches)


def _proposals(job: Job) -> float:
    """Return the work of one picture's proposals: features, and masks drawn to the edges."""
    own = job.settings.propose
    patches = _patches(job, own.backbone)
    if own.backbone == HANDCRAFTED:
        return BY_HAND * patches**2
    drawn = (
        own.max_masks / 2 * CRF if own.pixels == "crf" else 0.0
    )  # of `max_masks` about half come
    features = job.settings.features
    views = 2 if job.settings.keeps_tokens and features.mirrored else 1
    return views * _forward(own.backbone, patches) + drawn


def _on_patches(job: Job) -> float:
    """Return the work of the head on patches: its training, its predictions, tokens not kept."""
    own, features, backbone = job.settings.segment, job.settings.features, job.settings.propose
    n, views = len(job.images), 1 + features.mirrored
    patches = _patches(job, backbone.backbone)
    a_patch = PATCH_PASS + PATCH_CHANNEL * width_of(backbone.backbone)[0]
    learnt = own.patch_head.passes * min(own.patches, n * views * patches) * a_patch
    if own.train.steps:
        learnt = own.train.steps * own.patch_head.batch * a_patch
    looks = 0 if features.keep != "none" else views + 1
    return learnt + n * (PATCH_PREDICTION + looks * _forward(backbone.backbone, patches))


def _kept_bytes(job: Job) -> float:
    """Return the bytes of the tokens that are kept at most; `auto` may keep fewer pictures."""
    own, backbone = job.settings.features, job.settings.propose.backbone
    if not job.settings.keeps_tokens:
        return 0.0
    numbers = len(own.blocks) * _patches(job, backbone) * width_of(backbone)[0]
    return 2 * (1 + own.mirrored) * numbers * len(job.images)


def _patches(job: Job, backbone: str) -> float:
    """Return the patches that a backbone sees of one picture, in the mean."""
    own = job.settings.propose
    method, patch = getattr(own, own.method), patch_of(backbone)
    sizes = [
        wanted_size(
            image.size,
            patch,
            short_side=getattr(method, "short_side", 0) or None,
            square=getattr(method, "square", 0) or None,
            max_patches=own.max_patches or None,
        )
        for image in job.images[:SEEN]
    ]
    return sum(height * width for height, width in sizes) / len(sizes) / patch**2


def _repeated(job: Job) -> int:
    """Return how often what follows the proposals is done; k-means alone takes seconds."""
    return job.settings.seeds if job.settings.seeds_of == "chain" else 1


def _faster(job: Job) -> float:
    return GPU_FASTER if networks.device(job).type == "cuda" else 1.0


def _time(hours: float, *, about: str = "about ") -> str:
    """Return a time in words: "less than a minute", "about 12 minutes", "about 2.5 hours"."""
    if 60 * hours < 1:
        return "less than a minute"
    if 60 * hours < 1.5:
        return f"{about}a minute"
    return about + (f"{60 * hours:.0f} minutes" if hours < 2 else f"{hours:.1f} hours")
