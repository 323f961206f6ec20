"""Training: the one loop, the bodies and draws that detector and segmenter share.

They alone import it.

Contract: bodies.build(size, ...) and fill(body, state dict); fit(model, Plan, batch_of=, loss_of=,
          ...); checkpoint.write / read_latest / weights_bytes; augment.drawn, apply;
          sampling.chosen; schedule.factor.
"""

from maskdistill.training import augment, bodies, checkpoint, sampling, schedule
from maskdistill.training.loop import Plan, fit, seeded, step_seed

__all__ = [
    "Plan",
    "augment",
    "bodies",
    "checkpoint",
    "fit",
    "sampling",
    "schedule",
    "seeded",
    "step_seed",
]
