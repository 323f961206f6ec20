"""Schedule: the learning rate as a pure function of the step."""

from __future__ import annotations

import math

# 18 000 and 22 000 of the 24 000 iterations of LOST's public configuration.
LOST_DROPS = (3 / 4, 11 / 12)


def factor(
    step: int, *, steps: int, warm_up: int, decay: str, drops: tuple[float, ...] = LOST_DROPS
) -> float:
    """Return the factor of the learning rate at a step, in [0, 1].

    Args:
        step: 0 .. steps - 1.
        warm_up: steps of linear rise from 1 / warm_up to 1.
        decay: `cosine` down to 0; `steps`: x 0.1 at each of `drops`.
        drops: shares of the schedule, in (0, 1].
    Raises:
        ValueError: another decay.

    >>> [factor(step, steps=8, warm_up=2, decay="steps", drops=(0.75,)) for step in range(8)]
    [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1]
    >>> factor(5, steps=8, warm_up=2, decay="cosine")
    0.5
    """
    if step < warm_up:
        return (step + 1) / warm_up
    if decay == "cosine":
        done = (step - warm_up) / max(1, steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if decay == "steps":
        return 0.1 ** sum(step >= round(steps * drop) for drop in drops)
    raise ValueError(f"decay: wanted cosine or steps, got {decay!r}")
