"""The training loop: a step is a pure function of (seed, step), so that resuming moves no byte.

In:       a model, batches by step, a loss by batch
Out:      the model, trained in place (its averaged weights, where asked for); losses and states
          through callbacks
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from maskdistill.errors import TrainingError
from maskdistill.memory import is_out_of_memory, release
from maskdistill.training.schedule import LOST_DROPS, factor


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Hold the numbers of a training; units as in the settings of the same names.

    Attributes:
        optimiser: sgd (momentum 0.9) or adamw. decay, drops: as `schedule.factor` takes them.
        clip_norm: largest norm of the gradient, 0 for none.
        average: decay of the averaged weights a step, 0 for none; the averaged ones are the result.
        bfloat16: whether the forward pass is under torch's autocast to it.
    """

    steps: int
    optimiser: str = "sgd"
    learning_rate: float = 0.002
    weight_decay: float = 1e-4
    warm_up: int = 0
    decay: str = "steps"
    drops: tuple[float, ...] = LOST_DROPS
    clip_norm: float = 0.0
    average: float = 0.0
    bfloat16: bool = False
    seed: int = 0


def fit(
    model: nn.Module,
    plan: Plan,
    *,
    batch_of: Callable[[int], list[Any]],
    loss_of: Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]],
    state: Mapping[str, Any] | None = None,
    on_step: Callable[
        [int, dict[str, float], Callable[[], dict[str, Any]]], None
    ] = lambda step, losses, state_of: None,
    on_halved: Callable[[int, int], None] = lambda step, parts: None,
    workers: int = 0,
) -> None:
    """Train a model in place from the step that `state` stands at, and leave it in eval mode.

    Args:
        batch_of: the samples of a step; a pure function of the step, called ahead in a thread.
        loss_of: from the model, (a part of) a batch and the step to losses by name; their sum is
            minimised.
        state: of a checkpoint, as `on_step` was given it.
        on_step: called after each step with its losses and a function that makes the state to save.
        on_halved: called with (step, parts) when a batch did not fit into memory, of a GPU or the
            machine's own, and is cut in parts.
        workers: 0 makes batches in line, else ahead in one thread.
    Raises:
        TrainingError: a loss that is not finite. A sample that does not fit into memory alone: the
            error of the library, as `memory.is_out_of_memory` knows it.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = _optimiser(parameters, plan)
    averaged = copy.deepcopy(model.state_dict()) if plan.average else None
    start, parts = 0, 1
    if state is not None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        averaged = (
            {key: value.to(parameters[0].device) for key, value in state["averaged"].items()}
            if plan.average
            else None
        )
        start = int(state["step"])
    device = parameters[0].device
    model.train()

    def state_of() -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "optimiser": optimiser.state_dict(),
            "averaged": averaged,
        }

    for step, batch in _batches(batch_of, range(start, plan.steps), workers):
        rate = plan.learning_rate * factor(
            step, steps=plan.steps, warm_up=plan.warm_up, decay=plan.decay, drops=plan.drops
        )
        for group in optimiser.param_groups:
            group["lr"] = rate
        losses: dict[str, float] | None = None
        while losses is None:
            try:
                losses = _backward(model, optimiser, plan, batch, loss_of, step, parts, device)
            except (MemoryError, RuntimeError) as error:
                if parts >= len(batch) or not is_out_of_memory(error):
                    raise
            if losses is None:
                # Behind the except clause: its error holds the tensors of what failed.
                parts *= 2
                release()
                on_halved(step, parts)
        if not all(math.isfinite(value) for value in losses.values()):
            raise TrainingError(
                f"step {step}: the loss is not finite ({losses}). Lower the learning rate "
                f"({plan.learning_rate:g}), or set clip_norm"
            )
        if plan.clip_norm:
            nn.utils.clip_grad_norm_(parameters, plan.clip_norm)
        optimiser.step()
        if averaged is not None:
            _average(averaged, model.state_dict(), min(plan.average, (step + 1) / (step + 10)))
        on_step(step + 1, losses, state_of)
    if averaged is not None:
        model.load_state_dict(averaged)
    model.eval()


def step_seed(seed: int, step: int) -> int:
    """Return the seed of a step's random draws."""
    return (seed * 1_000_003 + step * 7_919 + 12_345) % (2**63)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Fork torch's global generators for a block, and seed them: dropout draws from them."""
    devices = list(range(torch.cuda.device_count()))  # torch.manual_seed seeds all of them
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def _backward(
    model: nn.Module,
    optimiser: torch.optim.Optimizer,
    plan: Plan,
    batch: list[Any],
    loss_of: Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]],
    step: int,
    parts: int,
    device: torch.device,
) -> dict[str, float]:
    """Compute the gradients of one step, the batch in `parts` pieces.

    Returns:
        The losses' means by name, weighted by the pieces' sizes; `loss` is their sum.
    """
    optimiser.zero_grad(set_to_none=True)
    totals: dict[str, float] = {}
    size = math.ceil(len(batch) / parts)
    with seeded(step_seed(plan.seed, step)):
        for first in range(0, len(batch), size):
            piece = batch[first : first + size]
            share = len(piece) / len(batch)
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=plan.bfloat16):
                losses = loss_of(model, piece, step)
            total = torch.stack([value.float() for value in losses.values()]).sum() * share
            total.backward()
            for name, value in {**losses, "loss": total / share}.items():
                totals[name] = totals.get(name, 0.0) + float(value.detach()) * share
    return totals


def _batches(
    batch_of: Callable[[int], list[Any]], steps: range, workers: int
) -> Iterator[tuple[int, list[Any]]]:
    """Yield (step, batch), the next ones made in a thread while a step runs; 0 workers: in line."""
    if workers == 0:
        for step in steps:
            yield step, batch_of(step)
        return
    with ThreadPoolExecutor(1) as pool:
        ahead = [pool.submit(batch_of, step) for step in steps[:2]]
        for position, step in enumerate(steps):
            batch = ahead.pop(0).result()
            if position + 2 < len(steps):
                ahead.append(pool.submit(batch_of, steps[position + 2]))
            yield step, batch


def _optimiser(parameters: list[nn.Parameter], plan: Plan) -> torch.optim.Optimizer:
    """Return the optimiser of a plan; ValueError for another one than adamw and sgd."""
    if plan.optimiser == "sgd":
        return torch.optim.SGD(
            parameters, lr=plan.learning_rate, momentum=0.9, weight_decay=plan.weight_decay
        )
    if plan.optimiser == "adamw":
        return torch.optim.AdamW(
            parameters, lr=plan.learning_rate, weight_decay=plan.weight_decay, fused=True
        )
    raise ValueError(f"optimiser: wanted adamw or sgd, got {plan.optimiser!r}")


@torch.no_grad()
def _average(averaged: dict[str, Tensor], now: Mapping[str, Tensor], decay: float) -> None:
    """Move averaged weights in place towards those of now; counters are copied."""
    for name, value in now.items():
        if value.is_floating_point():
            averaged[name].lerp_(value, 1 - decay)
        else:
            averaged[name].copy_(value)
