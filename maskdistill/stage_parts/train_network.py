"""Training as detect and segment do it: checkpoints, losses on disk, weights at the end.

In:   a network, its batches and losses by step, the settings `train`
Out:  model.safetensors, losses.jsonl; how many steps, what of the schedule counts
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.features import weights
from maskdistill.runs import atomic, lines
from maskdistill.runs.layout import TrainFolder
from maskdistill.settings import as_dict
from maskdistill.settings.training import TrainSettings
from maskdistill.training import Plan, augment, bodies, checkpoint, fit

if TYPE_CHECKING:
    from maskdistill.stage_parts.best_on_truth import Looks

# Steps where they are not set, at least and at most (docs/log/training.md, 2026-11-30): with 600
# the demo's detector passes its proposals; fewer than 1500 left a segmenter of photographs all
# background; 12 000, of 1920 pictures, are 70 minutes of two cores for the small detector.
LEAST = {"detect": 600, "segment": 1500}
MOST = 12000
# Of a detector on tokens, whatever the number of pictures: docs/log/detector.md.
ON_TOKENS = 400


def steps_of(
    settings: TrainSettings, n_pictures: int, stage: str, *, on_tokens: bool = False
) -> int:
    """Return the steps of a training: as set, or from the number of pictures.

    Args:
        stage: detect or segment, whose least number counts.
        on_tokens: of a detector on tokens, for which the number of pictures does not count.
    """
    if on_tokens:
        return settings.steps or ON_TOKENS
    return settings.steps or max(
        LEAST[stage], min(MOST, round(settings.epochs * n_pictures / settings.batch))
    )


def parts(settings: TrainSettings) -> dict[str, Any]:
    """Return the part of a schedule that changes the trained network, for the fingerprint.

    `epochs` counts where it says how many steps there are, and is not as it was before it was a
    setting.
    """
    left_out = {"checkpoint_seconds"}
    if settings.steps or settings.epochs == TrainSettings.epochs:
        left_out.add("epochs")
    return {key: value for key, value in as_dict(settings).items() if key not in left_out}


def parts_on_tokens(settings: TrainSettings) -> dict[str, Any]:
    """Return the part of the schedule of a detector on tokens that changes it.

    Pictures are mirrored there, and not moved otherwise.
    """
    counted = {**parts(settings), "steps": settings.steps or ON_TOKENS}
    counted.pop("epochs", None)
    return {**counted, "augment": {"flip": settings.augment.flip}}


def ranges(settings: TrainSettings) -> augment.Ranges:
    """Return the ranges of turning, moving and colouring the pictures of a training."""
    return augment.Ranges(**dataclasses.asdict(settings.augment))


def start_weights(job: Job, stage: str, *, tell: bool = False) -> dict[str, Tensor] | None:
    """Return the body's weights that the run gives to `detect` or `segment`.

    None: they are drawn at random, or another stage's. `tell`: say and write down what was chosen
    where a file holds several networks.
    """
    what = job.settings.weights_of(stage)
    if what in (None, "none", "detect"):
        return None
    state, note = weights.read_told(what, name=stage)
    if tell:
        networks.tell_choice(job, stage, note)
    return state


def digest(job: Job, stage: str) -> str:
    """Return what a training starts from, by content, or the word for it."""
    state = start_weights(job, stage)
    return (
        weights.fingerprint(state)
        if state is not None
        else (job.settings.weights_of(stage) or "none")
    )


def train(
    job: Job,
    folder: TrainFolder,
    model: nn.Module,
    settings: TrainSettings,
    *,
    steps: int,
    batch_of: Callable[[int], list[Any]],
    loss_of: Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]],
    title: str,
    looks: Looks | None = None,
) -> bool:
    """Train from the last checkpoint on; FOLDER/model.safetensors and losses.jsonl are the result.

    Args:
        steps: at which the training ends. batch_of, loss_of: as `training.fit` takes them.
        looks: is shown the weights of each step, and says in the end which are the result; None:
            the last ones.
    Returns:
        Whether a batch had to be cut to fit into memory: its bytes are then not those of a larger
        device.
    """
    checkpoints = folder.parts.path
    state = checkpoint.read_latest(checkpoints)
    done = int(state["step"]) if state else 0
    losses_path = folder.parts.losses
    kept = [row for row in _rows(losses_path) if row["step"] <= done]
    lines.write(losses_path, kept)
    placed(model, networks.device(job))
    halved = folder.parts.halved.exists()
    saved = time.monotonic()
    plan = Plan(
        steps=steps,
        optimiser=settings.optimiser,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warm_up=settings.warm_up,
        decay=settings.decay,
        drops=settings.drops,
        clip_norm=settings.clip_norm,
        average=settings.average,
        bfloat16=job.settings.precision == "bfloat16",
        seed=job.settings.seed_of_chain,
    )
    # Unbuffered: what a full disk refused must not be tried once more when the file is closed.
    with (
        _appending(losses_path) as file,
        job.progress.bar(title, total=steps, done=done, unit="steps") as bar,
    ):

        def on_step(
            step: int, losses: dict[str, float], state_of: Callable[[], dict[str, Any]]
        ) -> None:
            nonlocal saved
            row = lines.encoded(
                {"step": step, **{name: round(value, 6) for name, value in losses.items()}}
            )
            with atomic.telling(losses_path):
                if file.write(row) != len(row):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            bar.advance(f"loss {losses['loss']:.3f}")
            if looks is not None:
                looks.look(step, state_of)
            if time.monotonic() - saved >= settings.checkpoint_seconds and step < steps:
                # The losses reach the disk before the checkpoint does: a power cut must not leave
                # it ahead of them.
                with atomic.telling(losses_path):
                    os.fsync(file.fileno())
                checkpoint.write(checkpoints, step, state_of(), write_bytes=atomic.write_bytes)
                saved = time.monotonic()

        def on_halved(step: int, parts: int) -> None:
            nonlocal halved
            halved = True
            atomic.write_bytes(folder.parts.halved, b"")
            job.ledger.write("halved", stage=title, step=step, parts=parts)

        fit(
            model,
            plan,
            batch_of=batch_of,
            loss_of=loss_of,
            state=state,
            on_step=on_step,
            on_halved=on_halved,
            workers=1,
        )
    if looks is not None:
        model.load_state_dict(looks.chosen()[1])
    atomic.write_bytes(folder.losses, losses_path.read_bytes())
    atomic.write_bytes(folder.weights, checkpoint.weights_bytes(model.state_dict()))
    return halved


def fill_body(body: nn.Module, state: dict[str, Tensor] | None) -> None:
    """Start a body from weights, where there are any."""
    if state is not None:
        bodies.fill(body, state)


def placed(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model on a device, its maps with the channels last.

    Convolutions are a seventh faster so (docs/log/training.md).
    """
    return model.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]


def _appending(path: Path) -> IO[bytes]:
    """Open a file to append to, unbuffered."""
    with atomic.telling(path):
        return path.open("ab", buffering=0)


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of losses up to a torn line."""
    if not path.exists():
        return []
    found = []
    for line in path.read_bytes().split(b"\n"):
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found
