"""Estimate: how long and how much disk a run will take, said before it starts.

In:   the pictures' sizes, the settings, the speed of this machine as speed.py measures it
Out:  one sentence; docs/log/estimate.md says how its constants were measured, how far to trust it
"""

from __future__ import annotations

from typing import NamedTuple

from maskdistill.discovery.pool import tried_of
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.features import wanted_size
from maskdistill.settings.run import HANDCRAFTED
from maskdistill.settings.segment import BACKBONE
from maskdistill.stage_parts import train_network
from maskdistill.workflows import choosing, speed
from maskdistill.workflows.backbone_names import patch_of, width_of
from maskdistill.workflows.speed import Speed

# All work is in products of two square matrices (speed.SIDE); benchmarks/bench_estimate.py measured
# these in it, so that they hold on any machine.
# A ViT does (a + b * patches) * patches: a grows with the square of the width, b with the width.
PATCH, PAIR = 0.07, 2.2e-5  # 12 blocks of width 384: a patch, a pair of patches
BY_HAND = 1.1e-5  # a pair of patches: its graph is dense
STEP = {  # a pixel of a batch, forward and back
    ("detect", "small"): 5e-4,
    ("detect", "resnet50"): 1.8e-3,
    ("detect", "backbone"): 2.2e-4,  # a token is 8 px wide
    ("segment", "small"): 4e-4,
    ("segment", "resnet50"): 5.7e-4,
}
# A step in mid-training, its masks decoded, beside a first one on made-up pictures: more of the
# detector's boxes meet a mask then.
LATER = 1.5
PREDICTION = {"small": 60.0, "resnet50": 960.0, "backbone": 12.0}  # a picture
# A head on patches: a patch and pass, and more a channel of the backbone; a picture's prediction.
PATCH_PASS, PATCH_CHANNEL, PATCH_PREDICTION = 1.5e-3, 1.9e-5, 8.0
TRIAL = 3.0  # one combination of a sweep in one view: the method on the patches, no pixels
CRF = 35.0  # a mask drawn to its picture's edges
CRF_OF_MAP = 65.0  # a label map of about three classes that take part
GPU_FASTER = 40.0  # a current GPU against two cores: an order of magnitude, no measurement
CROP_SIDE = 320  # px of a detection's crop, where no setting bounds it
# Detections of a detector on tokens, a training picture there is, and a picture at most: 6 of 28
# pictures, 14 of 54, 27 to 33 of 94, 28 of 578, where 400 steps teach.
DETECTIONS, MOST_DETECTIONS = 0.3, 28
BYTES_A_PICTURE = 40_000  # masks, label maps, predictions
SEEN = 200  # pictures whose sizes speak for all


class Work(NamedTuple):
    """Hold the work of one stage in products, by what it is measured with.

    Attributes:
        forward: of the backbone. step: trainings and predictions of the detector. other: the rest.
    """

    forward: float = 0.0
    step: float = 0.0
    other: float = 0.0

    def seconds(self, at: Speed) -> float:
        """Return the seconds at a speed, before a GPU makes them fewer."""
        forward = self.forward * (1.0 if at.forward is None else at.forward)
        step = self.step * (1.0 if at.step is None else at.step)
        return (forward + step + self.other) * at.product


def sentence(job: Job, verbs: list[str]) -> str:
    """Return one sentence: pictures, hours, disk, and on what the hours rest.

    The detections that are embedded are counted as photographs had them where the detector is one
    on tokens; else how many there will be is not known, and they are told apart, as a bound.
    """
    at = measured(job, verbs)
    hours, gigabytes = expected(job, verbs, at)
    more = most_of_detections(job, at) if "label" in verbs else 0.0
    apart = ""
    if more and job.settings.detect.on_tokens:
        number = _detections(job)
        apart = (
            f"; {_time(more, about='')} of it to embed about {number:.0f} detections a picture, "
            "as counted on photographs"
        )
    elif more:
        apart = (
            f"; not counted: up to {_time(more, about='')} to embed the detections, "
            "which are clustered too"
        )
    known = f"{_time(hours)} on this machine ({at.told}) and {gigabytes:.1f} GB of disk"
    return f"{len(job.images)} pictures: {known}{apart}"


def measured(job: Job, verbs: list[str]) -> Speed:
    """Return the speed of this machine, measured for what these verbs will do."""
    own, detect = job.settings.propose, job.settings.detect
    network = own.backbone != HANDCRAFTED
    looks = network and {"propose", "cluster", "label"} & set(verbs) and not own.import_file
    trains = "detect" in verbs and not detect.import_file
    return speed.measured(
        job,
        size=_usual_size(job, own.backbone),
        forward=_forward(own.backbone, _patches(job, own.backbone)) if looks else 0.0,
        step=_step(job) if trains else 0.0,
        faster=_faster(job),
    )


def expected(job: Job, verbs: list[str], at: Speed) -> tuple[float, float]:
    """Return (hours, gigabytes) of the stages that will be done."""
    settings, repeated = job.settings, _repeated(job)
    seconds = sum(work.seconds(at) for work in by_stage(job, verbs).values()) / _faster(job)
    if "label" in verbs and settings.detect.on_tokens:
        seconds += 3600 * most_of_detections(job, at)
    kept = _kept_bytes(job) if "propose" in verbs else 0.0
    per_network = {"small": 0.01, "resnet50": 0.18, BACKBONE: 0.005}
    trained = per_network[settings.detect.size] + per_network[settings.segment.size]
    n = len(job.images)
    gigabytes = repeated * n * BYTES_A_PICTURE / 1e9 + (3 + repeated) * trained + kept / 1e9
    return seconds / 3600, gigabytes


def by_stage(job: Job, verbs: list[str]) -> dict[str, Work]:
    """Return verb -> the work of the stages of it, but for the embedding of detections."""
    settings, n, repeated = job.settings, len(job.images), _repeated(job)
    found: dict[str, Work] = {}
    if "propose" in verbs and not settings.propose.import_file:
        forward, other = _proposals(job)
        looks, tried = _sweep(job)
        found["propose"] = Work(forward=n * forward + looks, other=n * other + tried)
    if "cluster" in verbs and settings.cluster.embedding != "descriptors":
        backbone = settings.cluster.backbone
        found["cluster"] = Work(forward=n * _forward(backbone, _patches(job, backbone)) / 2)
    if "detect" in verbs and not settings.detect.import_file:
        own, on_tokens = settings.detect, settings.detect.on_tokens
        steps = train_network.steps_of(own.train, n, "detect", on_tokens=on_tokens)
        learnt = steps * _step(job) * (LATER if on_tokens else 1.0)
        found["detect"] = Work(step=repeated * (learnt + n * PREDICTION[own.size]))
    if "segment" in verbs and settings.segment.size == BACKBONE:
        forward, other = _on_patches(job)
        found["segment"] = Work(forward=repeated * forward, other=repeated * other)
    elif "segment" in verbs:
        head = settings.segment
        steps = train_network.steps_of(head.train, n, "segment")
        learnt = steps * head.train.batch * head.side**2 * STEP["segment", head.size]
        found["segment"] = Work(other=repeated * (learnt + n * PREDICTION[head.size]))
    return found


def most_of_detections(job: Job, at: Speed) -> float:
    """Return the hours to embed the detections, each a square crop.

    Of a detector on tokens those that photographs had are counted, of others all that a picture can
    have: a bound. 0 where detections are not embedded, or by hand.
    """
    own = job.settings.cluster
    if not own.again or own.embedding == "descriptors":
        return 0.0
    side = min(own.min_side or own.max_side or CROP_SIDE, own.max_side or CROP_SIDE)
    crops = sum(scale**2 for scale in own.scales) * (2 if own.flips else 1)
    patches = (side / patch_of(own.backbone)) ** 2
    n = len(job.images) * _detections(job)
    work = _repeated(job) * n * crops * _forward(own.backbone, patches)
    return Work(forward=work).seconds(at) / _faster(job) / 3600


def _detections(job: Job) -> float:
    """Return how many detections a picture will have, or has at most where that is not known."""
    own = job.settings.detect
    most = own.import_top or own.max_detections
    if own.on_tokens and not own.import_file:
        return min(most, MOST_DETECTIONS, max(1.0, DETECTIONS * len(job.images)))
    return most


def _step(job: Job) -> float:
    """Return the work of a step of the detector: a batch forward and back."""
    own = job.settings.detect
    pixels = own.short_side**2 * 1.33
    if own.on_tokens:
        pixels = 64 * _patches(job, job.settings.propose.backbone)
    return own.train.batch * pixels * STEP["detect", own.size]


def _forward(backbone: str, patches: float) -> float:
    """Return the work of one pass of a ViT over so many patches."""
    width, blocks = width_of(backbone)
    wider, deeper = width / 384, blocks / 12
    return patches * deeper * (PATCH * wider**2 + PAIR * wider * patches)


def _proposals(job: Job) -> tuple[float, float]:
    """Return the work of one picture's proposals: forwards; masks, drawn to the edges."""
    own = job.settings.propose
    patches = _patches(job, own.backbone)
    tried = tried_of(own)
    if own.backbone == HANDCRAFTED:
        return 0.0, sum(BY_HAND * (patches * each.scale**2) ** 2 for each in tried)
    # of `max_masks` about half come
    drawn = len(tried) * own.max_masks / 2 * CRF if own.pixels == "crf" else 0.0
    scales = list(dict.fromkeys(each.scale for each in tried))
    if job.settings.keeps_tokens:  # at scale 1, of the mirrored picture in a pass of its own
        scales += [1.0] * (job.settings.features.mirrored + (1.0 not in scales))
    return sum(_forward(own.backbone, patches * scale**2) for scale in scales), drawn


def _sweep(job: Job) -> tuple[float, float]:
    """Return the work of a sweep that is still to be made: forwards, methods; 0, 0 of none."""
    trials = choosing.trials_of(job.settings)
    if not trials:
        return 0.0, 0.0
    own = job.settings.propose
    views = 3 * min(choosing.N_PICTURES, len(job.images))
    patches = _patches(job, own.backbone)
    usual = max(1, job.settings.features.short_side or choosing.SIDE_PX)
    # Squares of maskcut have about as many patches; own sizes are counted once.
    sides = {(each.method == "maskcut", each.scale or usual) for each in trials}
    forward = sum(_forward(own.backbone, patches * (side / usual) ** 2) for _, side in sides)
    return views * forward, views * len(trials) * TRIAL


def _on_patches(job: Job) -> tuple[float, float]:
    """Return the work of the head on patches: forwards for tokens not kept; all else."""
    own, features, backbone = job.settings.segment, job.settings.features, job.settings.propose
    n, views = len(job.images), 1 + features.mirrored
    patches = _patches(job, backbone.backbone)
    a_patch = PATCH_PASS + PATCH_CHANNEL * width_of(backbone.backbone)[0]
    drawn = min(own.patches, own.patch_head.share * n * views * patches)
    learnt = own.patch_head.passes * drawn * a_patch
    if own.train.steps:
        learnt = own.train.steps * own.patch_head.batch * a_patch
    looks = 0 if features.keep != "none" else views + 1
    predicted = PATCH_PREDICTION + (CRF_OF_MAP if own.pixels == "crf" else 0.0)
    return n * looks * _forward(backbone.backbone, patches), learnt + n * predicted


def _kept_bytes(job: Job) -> float:
    """Return the bytes of the tokens that are kept at most; `auto` may keep fewer pictures."""
    own, backbone = job.settings.features, job.settings.propose.backbone
    if not job.settings.keeps_tokens:
        return 0.0
    numbers = len(own.blocks) * _patches(job, backbone) * width_of(backbone)[0]
    return 2 * (1 + own.mirrored) * numbers * len(job.images)


def _patches(job: Job, backbone: str) -> float:
    """Return the patches that a backbone sees of one picture, in the mean."""
    sizes, patch = _sizes(job, backbone), patch_of(backbone)
    return sum(height * width for height, width in sizes) / len(sizes) / patch**2


def _usual_size(job: Job, backbone: str) -> tuple[int, int]:
    """Return (height, width) px, whole patches, of the picture of middle size as it is shown."""
    sizes, patch = _sizes(job, backbone), patch_of(backbone)
    middle = sorted(sizes, key=lambda size: size[0] * size[1])[len(sizes) // 2]
    return -(-middle[0] // patch) * patch, -(-middle[1] // patch) * patch


def _sizes(job: Job, backbone: str) -> list[tuple[int, int]]:
    """Return (height, width) px that a backbone is shown of each of the first pictures."""
    own = job.settings.propose
    method, patch = getattr(own, own.method), patch_of(backbone)
    return [
        wanted_size(
            image.size,
            patch,
            short_side=getattr(method, "short_side", 0) or None,
            square=getattr(method, "square", 0) or None,
            max_patches=own.max_patches or None,
        )
        for image in job.images[:SEEN]
    ]


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
