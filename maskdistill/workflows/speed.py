"""Speed: seconds of a matrix product, of a forward and of a training step, on this machine.

In:   the settings, the size of a usual picture, work by the table of estimate.py
Out:  Speed; weights are drawn, pictures and masks made up: speed does not depend on them
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from maskdistill import detector
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.features import vit
from maskdistill.memory import is_out_of_memory
from maskdistill.stage_parts import train_network
from maskdistill.training import Plan, fit
from maskdistill.workflows.backbone_names import patch_of, width_of

# The unit of all work: a product of two square float32 matrices of that side, in the run's threads.
SIDE = 768
# That a warm-up, a forward and a step may take together; where the table says more, it counts.
BUDGET_SECONDS = 2.0


@dataclass(frozen=True)
class Speed:
    """Hold how fast this machine is.

    Attributes:
        product: seconds of the unit of work.
        forward: seconds of a forward of the backbone over those of the table; None: not measured.
        step: of a training step of the detector, likewise.
    """

    product: float
    forward: float | None = None
    step: float | None = None

    @property
    def told(self) -> str:
        """Return what was measured and what comes from a table, in words."""
        words = {"one forward": self.forward, "one training step": self.step}
        here = " and ".join(name for name, ratio in words.items() if ratio is not None)
        return f"measured here: {here}" if here else "from a table, a rough guess"


def measured(
    job: Job, *, size: tuple[int, int], forward: float, step: float, faster: float = 1.0
) -> Speed:
    """Return the speed of this machine; what would take too long is not measured.

    Generators of random numbers are left as they are, and the networks given up again.

    Args:
        size: (height, width) px that the backbone is shown, multiples of its patch.
        forward: products of a forward over one picture of that size by the table; 0: none is done.
        step: of a training step of the detector, likewise.
        faster: times that the device is as fast as what products are timed on.
    """
    product = product_seconds()
    left, unit = BUDGET_SECONDS, product / faster
    ratios: list[float | None] = []
    for work, made in ((forward, _forward), (step, _step)):
        warmed = 2 if made is _forward else 1  # a first step takes as long as the next ones
        ratios.append(None)
        if not work or warmed * work * unit > left:
            continue
        try:
            seconds = _least(made(job, size), warmed, networks.device(job))
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            continue
        ratios[-1] = seconds / (work * unit)
        left -= warmed * seconds
    return Speed(product, *ratios)


def product_seconds() -> float:
    """Return the seconds of the unit of work on this machine, in the threads that torch has."""
    one, other = torch.ones(SIDE, SIDE), torch.ones(SIDE, SIDE)
    took = []
    for _ in range(6):  # the first one warms up
        began = time.perf_counter()
        torch.mm(one, other)
        took.append(time.perf_counter() - began)
    return min(took)


def _least(work: Callable[[], object], times: int, device: torch.device) -> float:
    """Return the seconds of the fastest of some calls, with what a GPU still has to do."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - began)
    return min(took)


def _forward(job: Job, size: tuple[int, int]) -> Callable[[], object]:
    """Return a forward of the backbone of the proposals, over one picture."""
    half = job.settings.precision == "bfloat16"
    network = vit.load(
        job.settings.propose.backbone,
        weights="none",
        device=networks.device(job),
        dtype=torch.bfloat16 if half else torch.float32,
    )
    picture = torch.zeros(1, 3, *size, device=networks.device(job))
    return lambda: network.features_and_tokens(
        picture, want=("queries", "keys"), blocks=job.settings.features.blocks
    )


def _step(job: Job, size: tuple[int, int]) -> Callable[[], object]:
    """Return a training step of the detector, with two made-up masks a picture."""
    own = job.settings.detect
    batch: dict[str, Any] = {"n_pictures": own.train.batch, "batch": own.train.batch, "seed": 0}
    model: Any
    if own.on_tokens:
        patch = patch_of(job.settings.propose.backbone)
        channels = len(own.blocks) * width_of(job.settings.propose.backbone)[0]
        model = detector.build_on_tokens(channels=channels, drop=own.drop_loss)
        drawn = torch.Generator().manual_seed(0)
        grid = (size[0] // patch, size[1] // patch)
        tokens = torch.randn(channels, *grid, generator=drawn).half()
        view = detector.View(tokens, (8 * grid[0], 8 * grid[1]))
        batch_of = detector.token_batches(lambda place, mirrored: (view, *_masks(size)), **batch)
        losses = detector.token_losses(seed=0)
    else:
        sides = {"short_side": own.short_side, "max_side": own.max_side}
        model = detector.build(size=own.size, n_clusters=20, **sides)
        rgb = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
        batch_of = detector.batches(
            lambda place: (rgb, *_masks(size)),
            ranges=train_network.ranges(own.train),
            **batch,
            **sides,
        )
        losses = detector.losses(seed=0)
    model.to(networks.device(job))
    plan = Plan(
        steps=1,
        optimiser=own.train.optimiser,
        learning_rate=own.train.learning_rate,
        clip_norm=own.train.clip_norm,
        average=own.train.average,
        bfloat16=job.settings.precision == "bfloat16",
    )
    return lambda: fit(model, plan, batch_of=batch_of, loss_of=losses)


def _masks(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return two masks (2, H, W) bool, each a third of the sides, and their clusters."""
    height, width = size
    masks = np.zeros((2, height, width), bool)
    masks[0, : height // 3, : width // 3] = masks[1, height // 2 :, width // 2 :] = True
    return masks, np.zeros(2, np.int64)
