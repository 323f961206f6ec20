"""Licences of weights: of a few names, and what timm's registry says of its own models.

In:       the name of a backbone or of weights, as in the setting `weights`
Out:      Licence
Differs:  no legal advice: this is what the owners say, looked up in November 2026; look at the
          source before you pass anything on that was made with the weights
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

UNKNOWN = "unknown: look at the source"


@dataclass(frozen=True)
class Licence:
    """Name the licence of weights and where that is said.

    Attributes:
        name: SPDX where there is one, else in words.
        source: an address, a file's name, or who says it.
    """

    name: str
    source: str


_DINO = Licence("Apache-2.0", "https://github.com/facebookresearch/dino/blob/main/LICENSE")
KNOWN = {
    "dino_vits16": _DINO,
    "dino_vits8": _DINO,
    "dino_vitb16": _DINO,
    "dino_vitb8": _DINO,
    "dino_resnet50": _DINO,
    "moco_v2_resnet50": Licence("CC-BY-NC-4.0", "https://github.com/facebookresearch/moco#license"),
    "handcrafted": Licence(
        "none needed: no weights", "maskdistill, colours and textures made by hand"
    ),
    "none": Licence("none needed: drawn at random", "maskdistill"),
}
_OPEN = ("Apache-2.0", "MIT")  # anybody may use and pass on; of others that has to be read
# As timm writes them; others are passed on as they stand.
_SPDX = {
    "apache-2.0": "Apache-2.0",
    "mit": "MIT",
    "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "dinov3-license": "DINOv3 License",
}


def of(what: str) -> Licence:
    """Return the licence of weights by their name.

    >>> of("dino_vits16").name
    'Apache-2.0'
    >>> of("weights/mine.pth").name
    'unknown: look at the source'

    Args:
        what: as in --weights: one of KNOWN, timm/<model>, a file.
    Returns:
        UNKNOWN as the name of a file's, and of what nobody here knows.
    """
    if what in KNOWN:
        return KNOWN[what]
    if what.startswith("timm/"):
        return _of_timm(what.removeprefix("timm/"))
    return Licence(UNKNOWN, f"the file {PurePath(what).name}")


def told(what: str) -> str:
    """Return a sentence on the licence of weights, for whoever is about to fetch them.

    >>> told("dino_vits16")
    'Licence: Apache-2.0 (https://github.com/facebookresearch/dino/blob/main/LICENSE)'

    Args:
        what: as `of` takes it.
    """
    found = of(what)
    text = f"Licence: {found.name} ({found.source})"
    if found.name not in _OPEN:
        text += (
            f". That is neither of {' and '.join(_OPEN)}: "
            "read it before you use the weights or pass on what was made with them"
        )
    return text


def _of_timm(model: str) -> Licence:
    """Return the licence that timm's own registry states for a model's weights."""
    import timm

    try:
        found = timm.get_pretrained_cfg(model)
    except (RuntimeError, ValueError, AttributeError):  # a tag that it does not have
        found = None
    said = getattr(found, "license", None)
    hub = getattr(found, "hf_hub_id", None) or f"timm/{model}"
    if not said:
        return Licence(UNKNOWN, f"timm's registry says nothing of {model}")
    return Licence(_SPDX.get(said, said), f"timm's registry, https://huggingface.co/{hub}")
