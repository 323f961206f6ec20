"""The learning rate as a pure function of the step."""

from __future__ import annotations

import math


def factor(step: int, *, steps: int, warm_up: int, decay: str) -> float:
    """What the learning rate is multiplied by at a step, 0 .. steps - 1.

    Args:
        warm_up: steps of linear rise from 1 / warm_up to 1.
        decay: `cosine` down to 0; `steps`: x 0.1 at 3/4 and again at 11/12 of the schedule, as LOST's
            24 000 iterations with drops at 18 000 and 22 000.
    """
    if step < warm_up:
        return (step + 1) / warm_up
    if decay == "cosine":
        done = (step - warm_up) / max(1, steps - warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    if decay == "steps":
        return 0.1 ** ((step >= steps * 3 / 4) + (step >= steps * 11 / 12))
    raise ValueError(f"decay: wanted cosine or steps, got {decay!r}")
