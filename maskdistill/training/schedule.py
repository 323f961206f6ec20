"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math

LOST_DROPS = (
    3 / 4,
    11 / 12,
)  # 18 000 and 22 000 of the 24 000 iterations of LOST's public configuration


def factor(
    step: int, *, steps: int, warm_up: int, decay: str, drops: tuple[float, ...] = LOST_DROPS
) -> float:
    """What the learning rate is multiplied by at a step, 0 .. steps - 1.

    Args:
        warm_up: steps of linear rise from 1 / warm_up to 1.
        decay: `cosine` down to 0; `steps`: x 0.1 at each of `drops`.
        drops: shares of the schedule, in (0, 1].
    Raises:
        ValueError: another decay.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    if decay == "cosine":
        done = (step - warm_up) / max(1, steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if decay == "steps":
        return 0.1 ** sum(step >= round(steps * drop) for drop in drops)
    raise ValueError(f"decay: wanted cosine or steps, got {decay!r}")
