"""Notices: what a reader of the report must not miss.

In:   settings and finished stages of a run
Out:  sentences: features without learning, numbers that are too high, stages to be made again
"""

from __future__ import annotations

from maskdistill.artifacts.finished_stages import Outputs
from maskdistill.settings import RunSettings


def of(settings: RunSettings, outputs: Outputs) -> list[str]:
    """Return the sentences for the head of the page, in order; an empty list where all is well."""
    propose = settings.propose
    given = settings.weights_of("propose")
    found = []
    if what := outputs.stale():
        found.append(f"{what}. Until then they are not shown.")
    if propose.backbone == "handcrafted":
        found.append(
            "The features are hand-crafted colours and textures, not a trained network: "
            "good for a look and for simple pictures, weaker than DINO on photographs."
        )
    if "supervised" in f"{propose.backbone} {given or ''}":
        found.append(
            "The backbone's weights are SUPERVISED: no number here says anything about the unsupervised method."
        )
    if outputs.chosen_by_truth():
        found.append(
            "The segmenter's weights are the best of many by the ground truth it is REPORTED ON: "
            "its numbers are higher than those of a network that nobody chose so, and stand under their own name."
        )
    if given == "none" and propose.backbone != "handcrafted":
        found.append("The backbone's weights are random: its masks mean nothing.")
    return found
