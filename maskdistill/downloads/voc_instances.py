"""data voc-instances: a split of a VOC devkit as a COCO instances JSON."""

from __future__ import annotations

from pathlib import Path

from maskdistill.datasets import voc
from maskdistill.errors import SettingsError
from maskdistill.runs import atomic


def instances(
    root: Path, split: str, out: Path, *, of: str, class_agnostic: bool
) -> dict[str, int]:
    """Write the JSON; counts of images and objects."""
    if of not in ("masks", "boxes"):
        raise SettingsError(f"of: {of!r} is none of masks, boxes")
    made = voc.dataset(voc.find(root), split, of=of, class_agnostic=class_agnostic)  # type: ignore[arg-type]
    atomic.write_json(out, made)
    return {"images": len(made["images"]), "objects": len(made["annotations"])}
