"""Vision transformers through timm: queries, keys, values, tokens of any block at any picture size.

Paper:    DINO, Caron et al., ICCV 2021, arXiv:2104.14294; MaskDistill uses its ViT-S/16
In:       batch (B, 3, H, W) float32, normalised, H and W multiples of the patch
Out:      a Features a picture; prefix tokens but the class token (registers) are left out
Differs:  the attention and MLP of the block that is asked for run for its tokens alone: its
          queries, keys and values do not need them
"""

from __future__ import annotations

import contextlib
import difflib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.eva import Eva, checkpoint_filter_fn
from timm.models.vision_transformer import Attention, Block, VisionTransformer
from torch import Tensor

from maskdistill.errors import WeightsError
from maskdistill.features import attention, eva, layouts, packed
from maskdistill.features import weights as weight_files
from maskdistill.features.network import FIELDS, Network
from maskdistill.types import Features

DINO = {
    "dino_vits16": "vit_small_patch16_224",
    "dino_vits8": "vit_small_patch8_224",
    "dino_vitb16": "vit_base_patch16_224",
    "dino_vitb8": "vit_base_patch8_224",
}
# For the text of errors; timm has more than a hundred others that fit.
SOME_OF_TIMM = (
    "timm/vit_tiny_patch16_224",
    "timm/vit_small_patch16_224",
    "timm/vit_small_patch14_dinov2",
    "timm/vit_base_patch16_clip_224",
    "timm/deit3_small_patch16_224",
    "timm/vit_small_patch16_dinov3",
    "timm/eva02_small_patch14_224",
)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def load(
    name: str,
    *,
    weights: str | Path | Mapping[str, Tensor] | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    rotated: bool = False,
) -> ViT:
    """Return a backbone with its weights, in eval mode.

    Args:
        name: dino_vits16, dino_vits8, dino_vitb16, dino_vitb8, or timm/<model> of timm's
            VisionTransformer or Eva family.
        weights: None fetches those of the name; a name, a file, a state dict; `none`: drawn from a
            fixed seed, the caller's generators untouched.
        device: that the weights are put on; results are there too.
        dtype: float32, or bfloat16 for a faster forward whose results are float32 again.
        rotated: queries and keys after the rotation by position that the Eva family (DINOv3) gives
            them.
    Raises:
        WeightsError: unknown or unsupported model, or weights that do not fit it.
    """
    model = _built(name)
    if rotated and getattr(model, "rope", None) is None:
        raise WeightsError(f"rotated: {name} does not rotate by position; DINOv3 and its kin do")
    source = "these weights" if isinstance(weights, Mapping) else str(weights or name)
    if not isinstance(weights, Mapping):
        if str(weights) != "none":
            weights = weight_files.read(name if weights is None else weights, name=name)
        else:
            weights = None
    if weights is not None:
        _fill(model, weights, name=name, source=source)
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if name in DINO else _normalisation(model)
    model.requires_grad_(False).eval().to(device=device, dtype=dtype)
    return ViT(name=name, model=model, mean=mean, std=std, as_dino=name in DINO, rotated=rotated)


def check(name: str) -> None:
    """Raise WeightsError unless there is such a backbone and it is supported.

    Nothing is fetched, and no memory taken for weights.
    """
    with torch.device("meta"):
        _built(name)


class ViT(Network):
    """A timm VisionTransformer or Eva behind the interface that all backbones share.

    Attributes (those of Network, and):
        name: as `load` took it.
        mean: of RGB in [0, 1], that pictures are normalised with.
        std: the deviation, likewise.
        note: on what was chosen in the file of weights by whoever read it; "": nothing.
        digest: of the weights by content, set by whoever read them; "": not computed.
        directions: of position, by how a picture is shown and which facet (discovery/blank.py).
    """

    def __init__(
        self,
        *,
        name: str,
        model: VisionTransformer | Eva,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
        as_dino: bool,
        rotated: bool = False,
    ) -> None:
        super().__init__(model, as_dino=as_dino, rotated=rotated)
        self.name, self.mean, self.std = name, mean, std
        self.note = ""
        self.digest = ""
        self.directions: dict[Any, Tensor] = {}

    def features(
        self, batch: Tensor, *, block: int = -1, want: Sequence[str] = ("queries", "keys")
    ) -> list[Features]:
        """Return the features of each picture of a batch.

        Args:
            batch: (B, 3, H, W) float32, normalised, H and W multiples of the patch; on any device.
            block: whose queries, keys, values, and the tokens that leave it (after the last norm);
                negative: counted from the last.
            want: of queries, keys, values, tokens; what is not wanted is None.
        Returns:
            One Features a picture, float32, on the device of the weights.
        Raises:
            ValueError: another shape, block or field.
        """
        return self.features_and_tokens(batch, block=block, want=want, blocks=())[0]

    def features_and_tokens(
        self, batch: Tensor, *, block: int = -1, want: Sequence[str], blocks: Sequence[int]
    ) -> tuple[list[Features], dict[int, Tensor]]:
        """Return the features of each picture, and tokens of several blocks, by one pass.

        The features are those of `features`, bit by bit; a pass that nothing is asked of after a
        block ends there.

        Args:
            batch, block, want: as `features` takes them; `want` may be empty.
            blocks: whose tokens (after the last norm) are given too; negative: counted from the
                last.
        Returns:
            One Features a picture, and of each of `blocks` (B, 1 + rows*cols, width) float32, token
            0 the class token or, without one, the patches' mean; on the device of the weights.
        Raises:
            ValueError: another shape, block or field.
        """
        features, left = self.of_blocks(batch, wanted={block: want}, blocks=blocks)
        return features[block], left

    @torch.inference_mode()
    def of_blocks(
        self, batch: Tensor, *, wanted: Mapping[int, Sequence[str]], blocks: Sequence[int] = ()
    ) -> tuple[dict[int, list[Features]], dict[int, Tensor]]:
        """Return the features of several blocks of each picture by one pass, bit by bit `features`.

        Args:
            batch: as `features` takes it.
            wanted: block -> fields of its Features, which may be none; negative: counted from the
                last.
            blocks: as `features_and_tokens` takes them.
        Returns:
            Block of `wanted` -> one Features a picture; tokens as `features_and_tokens` gives them.
        Raises:
            ValueError: another shape, block or field.
        """
        n_blocks, grid = len(self.model.blocks), self.grid_of(batch)
        asked: dict[int, set[str]] = {number % n_blocks: {"tokens"} for number in blocks}
        for block, fields in wanted.items():
            self._check_asked((block,), fields)
            asked.setdefault(block % n_blocks, set()).update(fields)
        self._check_asked(blocks, ())
        found = self.walked(batch, asked)
        made = {
            block: self._features(
                {field: found[block % n_blocks][field] for field in fields},
                grid,
                n_pictures=len(batch),
            )
            for block, fields in wanted.items()
        }
        return made, {number: found[number % n_blocks]["tokens"] for number in blocks}

    def _check_asked(self, blocks: Sequence[int], want: Sequence[str]) -> None:
        """Raise ValueError for a block or field that there is not."""
        n_blocks = len(self.model.blocks)
        for asked in blocks:
            if not -n_blocks <= asked < n_blocks:
                raise ValueError(f"block: {self.name} has {n_blocks}, got {asked}")
        if unknown := set(want) - set(FIELDS):
            raise ValueError(f"want: takes {', '.join(FIELDS)}, got {', '.join(sorted(unknown))}")

    def _features(
        self, found: Mapping[str, Tensor], grid: tuple[int, int], *, n_pictures: int
    ) -> list[Features]:
        """Return the Features of each picture of a batch from fields (B, ...) of the batch."""
        return [
            Features(
                grid=grid,
                patch=self.patch,
                has_class=self.has_class,
                **{field: values[row] for field, values in found.items()},
            )
            for row in range(n_pictures)
        ]

    def tokens_of(
        self, pictures: Sequence[Tensor], *, pack: int = 0, class_alone: bool = False
    ) -> list[Tensor]:
        """Return the tokens of each picture after the last norm.

        Args:
            pictures: (3, h, w) each, of any sizes, else as `features` takes them.
            pack: patches that go through the network in one pass; a picture with more goes alone;
                0: all do. The other pictures of a pack change last bits alone.
            class_alone: token 0 is enough; the others may be missing, and where they are a twelfth
                of a ViT-S is saved.
        Returns:
            (1 + rows*cols, width) float32 on the CPU each, or (1, width) for `class_alone`.
        """
        can_pack = attention.applies_to(self.model)
        class_alone = class_alone and can_pack and self.has_class
        most = pack if can_pack else 0
        sizes = [
            (each.shape[-2] // self.patch) * (each.shape[-1] // self.patch) for each in pictures
        ]
        found: list[Tensor] = []
        for places in packed.plan(sizes, most=most):
            if len(places) > 1 or class_alone:
                found += packed.tokens(
                    self, [pictures[place] for place in places], class_alone=class_alone
                )
            else:
                alone = self.features(pictures[places[0]][None], want=("tokens",))[0].tokens
                assert alone is not None
                found.append(alone.cpu())
        return found


def _built(name: str) -> VisionTransformer | Eva:
    """Return a network from timm's own constructor, drawn from a fixed seed.

    Raises:
        WeightsError: a name that is not known, or a model whose blocks are not a plain ViT's.
    """
    known = [*timm.list_models(), *timm.list_pretrained()]
    inner = DINO.get(name) or name.removeprefix("timm/")
    if name not in DINO and (not name.startswith("timm/") or inner not in known):
        near = [
            *difflib.get_close_matches(name, DINO, n=3),
            *weight_files.near_of_timm(name),
        ][:3]
        raise WeightsError(
            f"backbone {name!r} is not known. Known: handcrafted, {', '.join(DINO)}, "
            "timm/<model> of timm's VisionTransformer and Eva families"
            f"{'; nearest: ' + ', '.join(near) if near else ''}"
        )
    options: dict[str, Any] = {"dynamic_img_size": True}
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed GPUs too, which nothing restores.
        torch.default_generator.manual_seed(0)
        try:
            model = timm.create_model(inner, pretrained=False, num_classes=0, **options)
        except TypeError:  # families that know no such option
            model = None
    family = ", ".join(SOME_OF_TIMM)
    if not isinstance(model, VisionTransformer | Eva):
        raise WeightsError(
            f"backbone {name!r} is not of timm's VisionTransformer or Eva family. "
            f"Such are: {family}, ..."
        )
    # Subclasses of these and their relatives have other queries (differential), other inputs of
    # them (norms after the attention), or patches that a convolutional network cuts: what
    # `features` computes would not be theirs.
    if isinstance(model, Eva):
        plain = eva.is_plain(model)
    else:
        plain = type(model.patch_embed) is PatchEmbed and all(
            type(block) is Block and type(block.attn) is Attention for block in model.blocks
        )
    if not plain:
        raise WeightsError(
            f"backbone {name!r}: its patches or its attention are not a plain ViT's, which is not "
            f"supported. Supported are: {family}, ..."
        )
    return model


def _normalisation(
    model: VisionTransformer | Eva,
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and deviation of RGB in [0, 1] that a model was trained with."""
    config: Any = model.pretrained_cfg
    return tuple(config.get("mean", IMAGENET_MEAN)), tuple(config.get("std", IMAGENET_STD))


def _fill(
    model: VisionTransformer | Eva, state: Mapping[str, Tensor], *, name: str, source: str
) -> None:
    """Load weights strictly, but for the classification head, which nothing here uses.

    Raises:
        WeightsError: tensors that are missing, unknown or of another shape.
    """
    wanted = model.state_dict()
    state = layouts.in_timms_names(state)
    # DINOv3's own files name their tensors otherwise.
    if isinstance(model, Eva) and "storage_tokens" in state:
        _check_biases(wanted, state, name=name, source=source)
        with contextlib.redirect_stdout(io.StringIO()):
            state = checkpoint_filter_fn(dict(state), model)
    heads = ("head.", "head_dist.", "fc_norm.")
    given = {
        key: value for key, value in state.items() if key in wanted or not key.startswith(heads)
    }
    missing = sorted(set(wanted) - set(given))
    foreign = sorted(set(given) - set(wanted))
    misfit = [
        f"{key} is {tuple(given[key].shape)}, wanted {tuple(wanted[key].shape)}"
        for key in wanted
        if key in given and given[key].shape != wanted[key].shape
    ]
    if missing or foreign or misfit:
        raise WeightsError(
            f"{source}: not the weights of {name}: "
            f"{len(missing)} tensors missing ({', '.join(missing[:3]) or 'none'}), "
            f"{len(foreign)} unknown ({', '.join(foreign[:3]) or 'none'}), "
            f"{len(misfit)} of another shape ({'; '.join(misfit[:2]) or 'none'})"
            f"{'; ' + told if (told := layouts.described(state)) else ''}. "
            "Name the backbone that they belong to"
        )
    model.load_state_dict(dict(given))


def _check_biases(
    wanted: Mapping[str, Tensor], state: Mapping[str, Tensor], *, name: str, source: str
) -> None:
    """Refuse DINOv3's weights with biases that a network without them would drop in silence.

    Meta's published ones are zero, those of keys are masked; fine-tuning may change the others.

    Raises:
        WeightsError: a bias of queries or values that is not zero.
    """
    for key, bias in state.items():
        if key.endswith(".qkv.bias") and key.replace("qkv.bias", "q_bias") not in wanted:
            queries, _, values = bias.chunk(3)
            if queries.any() or values.any():
                raise WeightsError(
                    f"{source}: {key} is not zero, and {name} has no such bias. Name the backbone "
                    f"that has: {name.partition('.')[0]}_qkvb"
                )
