"""VOC instances: a split of a VOC devkit as a COCO instances JSON (`data voc-instances`).

In:       the devkit's folder, the name of a split
Out:      the JSON, whole or not there; counts of images and objects
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, cast

from maskdistill.datasets import voc
from maskdistill.errors import SettingsError
from maskdistill.runs import atomic


def instances(
    root: Path, split: str, out: Path, *, of: str, class_agnostic: bool
) -> dict[str, int]:
    """Write the JSON; return the counts of images and objects.

    Args:
        of: masks or boxes, as `voc.dataset` has them.
    Raises:
        SettingsError: another word for `of`. GroundTruthError: what `voc.dataset` raises.
    """
    if of not in ("masks", "boxes"):
        raise SettingsError(f"of: {of!r} is none of masks, boxes")
    kind = cast(Literal["masks", "boxes"], of)
    made = voc.dataset(voc.find(root), split, of=kind, class_agnostic=class_agnostic)
    atomic.write_json(out, made)
    return {"images": len(made["images"]), "objects": len(made["annotations"])}
