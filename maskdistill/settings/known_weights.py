"""Known weights: what to propose with, by the weights themselves, each line with its source.

In:       weights as --weights propose=WHAT names them, or the digest of a state dict
Out:      Known: method, facet, block, centring, scale; or None, and a rule or a sweep decides
Differs:  architectures are no key: supervised and self-supervised weights share their names
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from maskdistill.settings.propose import Facet, Method, ProposeSettings


@dataclass(frozen=True, kw_only=True)
class Known:
    """Hold one line of the table: weights, and what to propose with.

    Attributes:
        names: of the same weights, as --weights propose=WHAT has them, the usual one first. Weights
            that no name fetches have one in words, which no weights are given by.
        method: that proposes.
        facet: of the block: what patches are compared by.
        block: of the backbone, negative from the last.
        centre: subtract the mean of the facet first.
        enlarge: factor of the input's size beside what the settings say.
        source: paper with its section, release, or the entry of docs/log/ that measured it.
        measured: masks of these weights were measured with exactly this, by others or here. A line
            that was not counts as unknown (`of`).
        digests: SHA-256 of their state dicts, as features/weights.py:fingerprint gives them.
    """

    names: tuple[str, ...]
    method: Method
    facet: Facet
    block: int
    centre: Literal["yes", "no"]
    enlarge: float = 1.0
    source: str
    measured: bool
    digests: tuple[str, ...] = ()


def of(weights: str | None, *, digest: str | None = None) -> Known | None:
    """Return the line of weights that were measured, None for unknown weights and other lines.

    >>> of("dino_vits16").method
    'maskdistill'
    >>> of("timm/vit_small_patch14_dinov2.lvd142m") is None
    True

    Args:
        weights: as --weights propose=WHAT; a file is known by its digest alone.
        digest: of the state dict; it decides where both are known.
    """
    found = line(weights, digest=digest)
    return found if found is not None and found.measured else None


def line(weights: str | None, *, digest: str | None = None) -> Known | None:
    """Return the line of weights, measured or not; None where the table has none.

    Args:
        weights: as --weights propose=WHAT; a file is known by its digest alone.
        digest: of the state dict; it decides where both are known.
    """
    by_content = [known for known in TABLE if digest in known.digests]
    by_name = [known for known in TABLE if weights in known.names]
    return next(iter(by_content + by_name), None)


def told(known: Known, propose: ProposeSettings) -> str:
    """Return a sentence on the line that weights have, and on what a run does otherwise.

    Args:
        known: measured or not.
        propose: resolved settings.
    """
    text = f"weights known as {known.names[0]}: "
    line_says = _recipe(known.method, known.facet, known.block, known.centre)
    run_has = _recipe(propose.method, propose.facet, propose.block, propose.centre_keys)
    text += f"{line_says} ({known.source})" if known.measured else known.source
    if not known.measured or run_has != line_says:
        text += f"; this run has {run_has}"
    if is_other_architecture(known, propose.backbone):
        text += (
            f"; propose.backbone is {propose.backbone}, which may want pictures of another mean "
            f"and deviation than {known.names[0]}"
        )
    return text


def is_other_architecture(known: Known, backbone: str) -> bool:
    """Return whether no name of a line is of a backbone's architecture, whatever the tag."""
    return _model(backbone) not in {_model(name) for name in known.names}


def _model(name: str) -> str:
    """Return the name of an architecture: of timm's names without the tag of the weights."""
    return name.removeprefix("timm/").partition(".")[0]


def _recipe(method: str, facet: str, block: int | None, centre: str) -> str:
    """Return in words what is proposed with."""
    return f"{method} on {facet} of block {block}, {'' if centre == 'yes' else 'not '}centred"


def _timm(*models: str) -> tuple[str, ...]:
    """Return names of --weights for models of timm."""
    return tuple(f"timm/{model}" for model in models)


# DINO: MaskDistill was published with ViT-S/16 alone. LOST and TokenCut, which the others were
# published with, take keys of the last block too (CorLoc on VOC 2007 by their README).
_KEYS = "not measured with MaskDistill. Keys of the last block are what others publish: "
_LOST = "LOST (arXiv:2109.14279, README of valeoai/LOST)"
_TOKENCUT = "TokenCut (arXiv:2202.11539, README of YangtaoWANG95/TokenCut)"
_RULE = "not measured: the rule of other networks, docs/log/proposals.md, 2026-12-01"
# TokenCut's release (main_tokencut.py, networks.py) also takes keys of the last block of MoCo-v3's
# ViT-S and ViT-B and of MAE's ViT-B; numbers of these were not found.
_RELEASE = "not measured: an option of TokenCut's release (main_tokencut.py) without a number"

TABLE = (
    Known(
        names=("dino_vits16", "timm/vit_small_patch16_224.dino"),
        method="maskdistill",
        facet="keys",
        block=-1,
        centre="no",
        source="MaskDistill, arXiv:2206.06363, Sec. 3.1: ViT-S/16 of DINO",
        measured=True,
    ),
    Known(
        names=("dino_vits8", "timm/vit_small_patch8_224.dino", "timm/vit_small_patch8_224"),
        method="maskdistill",
        facet="keys",
        block=-1,
        centre="no",
        source=f"{_KEYS}{_LOST} 0.555, {_TOKENCUT} 0.673",
        measured=False,
    ),
    Known(
        names=("dino_vitb16", "timm/vit_base_patch16_224.dino"),
        method="maskdistill",
        facet="keys",
        block=-1,
        centre="no",
        source=f"{_KEYS}{_LOST} 0.601, {_TOKENCUT} 0.688",
        measured=False,
    ),
    Known(
        names=("dino_vitb8", "timm/vit_base_patch8_224.dino"),
        method="maskdistill",
        facet="keys",
        block=-1,
        centre="no",
        source=f"{_KEYS}MaskCut (CutLER, arXiv:2301.11320, Sec. 4)",
        measured=False,
    ),
    Known(
        names=_timm(
            "vit_small_patch14_dinov2.lvd142m",
            "vit_small_patch14_dinov2",
            "vit_base_patch14_dinov2.lvd142m",
            "vit_base_patch14_dinov2",
            "vit_large_patch14_dinov2.lvd142m",
            "vit_large_patch14_dinov2",
            "vit_giant_patch14_dinov2.lvd142m",
            "vit_giant_patch14_dinov2",
        ),
        method="tokencut",
        facet="tokens",
        block=-2,
        centre="no",
        # Their Gram matrix has a bias that our LOST has not, and which size it was is not said
        # where we could read it: no recipe of ours.
        source=f"{_RULE}; LOST on their keys finds little (CorLoc on VOC 2007 0.353, "
        "arXiv:2309.16588, Sec. 3.3)",
        measured=False,
    ),
    Known(
        names=_timm(
            "vit_small_patch14_reg4_dinov2.lvd142m",
            "vit_small_patch14_reg4_dinov2",
            "vit_base_patch14_reg4_dinov2.lvd142m",
            "vit_base_patch14_reg4_dinov2",
            "vit_large_patch14_reg4_dinov2.lvd142m",
            "vit_large_patch14_reg4_dinov2",
            "vit_giant_patch14_reg4_dinov2.lvd142m",
            "vit_giant_patch14_reg4_dinov2",
        ),
        method="tokencut",
        facet="tokens",
        block=-2,
        centre="no",
        source=f"{_RULE}; LOST on their keys: CorLoc on VOC 2007 0.554 "
        "(arXiv:2309.16588, Sec. 3.3)",
        measured=False,
    ),
    Known(
        names=_timm(
            "vit_small_patch16_dinov3.lvd1689m",
            "vit_small_patch16_dinov3",
            "vit_small_plus_patch16_dinov3.lvd1689m",
            "vit_small_plus_patch16_dinov3",
            "vit_base_patch16_dinov3.lvd1689m",
            "vit_base_patch16_dinov3",
            "vit_large_patch16_dinov3.lvd1689m",
            "vit_large_patch16_dinov3",
            "vit_huge_plus_patch16_dinov3.lvd1689m",
            "vit_huge_plus_patch16_dinov3",
            "vit_7b_patch16_dinov3.lvd1689m",
            "vit_7b_patch16_dinov3",
        ),
        method="tokencut",
        facet="tokens",
        block=-2,
        centre="no",
        source=f"{_RULE}; the largest was published with TokenCut (arXiv:2508.10104, Sec. 6.1, "
        "CorLoc on VOC 2007 0.661), the smaller ones were not",
        measured=False,
    ),
    Known(
        names=_timm("vit_base_patch16_224.mae", "vit_large_patch16_224.mae"),
        method="tokencut",
        facet="keys",
        block=-1,
        centre="no",
        source=_RELEASE,
        measured=False,
    ),
    Known(
        names=("ViT-S/16 and ViT-B/16 of MoCo-v3",),
        method="tokencut",
        facet="keys",
        block=-1,
        centre="no",
        source=_RELEASE,
        measured=False,
    ),
    Known(
        names=("ViT-S/16, ViT-B/16 and ViT-L/16 of iBOT",),
        method="tokencut",
        facet="tokens",
        block=-2,
        centre="no",
        source=_RULE,
        measured=False,
    ),
    Known(
        names=_timm(
            "vit_base_patch16_clip_224.openai",
            "vit_base_patch16_clip_quickgelu_224.openai",
            "vit_base_patch16_clip_224.laion2b",
            "vit_large_patch14_clip_224.openai",
            "vit_large_patch14_clip_224.laion2b",
        ),
        method="tokencut",
        facet="tokens",
        block=-2,
        centre="no",
        source=_RULE,
        measured=False,
    ),
    Known(
        names=_timm("deit_tiny_patch16_224.fb_in1k", "deit_tiny_patch16_224"),
        method="tokencut",
        facet="tokens",
        block=-2,
        centre="no",
        source="docs/log/proposals.md, 2026-12-01: CorLoc 0.380 and 0.667, the best of four "
        "methods on keys and tokens; labels were used to train it",
        measured=True,
        # Of $MASKDISTILL_REFERENCE/data/weights: float16, LayerNorm rounded.
        digests=("6644cd73669cf6629f121060bcec8416161e1e9142e45382d65a5cdb5dc549b2",),
    ),
    Known(
        names=_timm(
            "deit_small_patch16_224.fb_in1k",
            "deit_small_patch16_224",
            "deit_base_patch16_224.fb_in1k",
            "deit_base_patch16_224",
            "deit3_small_patch16_224.fb_in1k",
            "deit3_small_patch16_224",
            "deit3_base_patch16_224.fb_in1k",
            "deit3_base_patch16_224",
        ),
        method="tokencut",
        facet="tokens",
        block=-2,
        centre="no",
        source=_RULE,
        measured=False,
    ),
)
