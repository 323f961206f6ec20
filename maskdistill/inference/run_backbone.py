"""Run's backbone: what it sees of a new picture, for heads that were trained on its tokens.

In:   the settings of a finished run, whose backbone made its proposals; a picture
Out:  Tokens, as those of the run's own pictures are; an error where the weights are others now
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from maskdistill.discovery import limits
from maskdistill.discovery.recipe import Input, recipe_of
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.errors import RunError, setting
from maskdistill.features import tokens
from maskdistill.features.tokens import Tokens
from maskdistill.runs import record
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import RunSettings


def tokens_of(settings: RunSettings) -> Callable[[np.ndarray], Tokens]:
    """Return the function from a picture (H, W, 3) uint8 to its Tokens of `features.blocks`.

    A picture that does not fit into memory is shown smaller, as the run's own were. The backbone is
    loaded by the first picture, and raises what `networks.backbone` raises.

    Args:
        settings: of the run, resolved; its backbone is a network.
    """
    job, blocks = Job.alone(settings), settings.features.blocks
    backbone, shown = settings.propose.backbone, recipe_of(settings.propose).shown

    def seen(rgb: np.ndarray) -> Tokens:
        network = networks.kept(job, "propose", backbone)

        def looked(at: Input) -> Tokens:
            ready = at.prepare(rgb, backbone=network)
            return tokens.seen([ready], backbone=network, blocks=blocks)[1][0]

        size = rgb.shape[0], rgb.shape[1]
        return limits.as_large_as_fits(looked, shown, size=size, patch=network.patch)[0]

    return seen


def check(folder: RunFolder, settings: RunSettings, name: str) -> None:
    """Check that the backbone's weights are those that a head was trained on.

    Args:
        name: of the training (`segment/train`), whose stage.json has the digest of the backbone
            under `weights`.
    Raises:
        RunError: they are others.
    """
    entry = record.read(folder.stage(name).record)
    known = entry.parts.get("weights") if entry is not None else None
    found = networks.digest(Job.alone(settings), "propose", settings.propose.backbone)
    if known != found:
        given = settings.weights_of("propose") or settings.propose.backbone
        raise RunError(
            f"{folder.stage(name).path}: was trained on the tokens of other weights than those of "
            f"{given} now. Give the weights that the run was made with: "
            f"{setting('weights', 'propose=FILE')}, or train it again with --redo"
        )
