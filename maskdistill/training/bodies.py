"""Bodies that the detector and the segmenter share: ResNet-50, and one that two cores can train.

Paper:    He et al., CVPR 2016, arXiv:1512.03385; GroupNorm: Wu and He, ECCV 2018, arXiv:1803.08494
In:       (B, 3, H, W) float32, normalised
Out:      maps at strides 4, 8, 16, 32 by the names "0" .. "3" (the last two less if dilated)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torchvision.models import resnet50
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from maskdistill.errors import WeightsError, setting

# Channels of the small body's layers: 1.5 M parameters, which two cores train in minutes
# (docs/log/training.md).
SMALL_WIDTHS = (32, 64, 112, 160)
_GROUP = 16  # channels that are normalised together


class Block(nn.Module):
    """Join two 3 x 3 convolutions around a shortcut, with GroupNorm."""

    def __init__(self, n_in: int, n_out: int, *, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(n_out // _GROUP, n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(n_out // _GROUP, n_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.GroupNorm(n_out // _GROUP, n_out)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, H / stride, W / stride) of (B, n_in, H, W)."""
        inner = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(x))


class SmallBody(nn.Module):
    """Compute maps by a GroupNorm ResNet of 1.5 M parameters.

    Batches of a few pictures are too small for batch statistics.
    """

    def __init__(self) -> None:
        super().__init__()
        self.channels = SMALL_WIDTHS
        first = SMALL_WIDTHS[0]
        self.stem = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1, bias=False),
            nn.GroupNorm(first // _GROUP, first),
            nn.ReLU(),
            nn.Conv2d(first, first, 3, 2, 1, bias=False),
            nn.GroupNorm(first // _GROUP, first),
            nn.ReLU(),
        )
        n_in = first
        for number, (width, stride) in enumerate(zip(SMALL_WIDTHS, (1, 2, 2, 2), strict=True), 1):
            self.add_module(
                f"layer{number}",
                nn.Sequential(Block(n_in, width, stride=stride), Block(width, width)),
            )
            n_in = width

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps "0" .. "3" of pictures (B, 3, H, W)."""
        return _four_maps(self, self.stem(x))


class ResNet50(nn.Module):
    """Compute maps by torchvision's ResNet-50 without its classifier.

    Args:
        output_stride: of the last map; below 32 the last layers are dilated in place of strided.
        frozen_norm: batch norms are fixed affine maps (a detector's batches are too small for
            statistics).
        frozen_layers: 0 none, 1 conv1, bn1, layer1, 2 also layer2: no gradient, and eval mode
            always.
    """

    def __init__(
        self, *, output_stride: int = 32, frozen_norm: bool = False, frozen_layers: int = 0
    ) -> None:
        super().__init__()
        dilated = {32: [False, False, False], 16: [False, False, True], 8: [False, True, True]}[
            output_stride
        ]
        norm = FrozenBatchNorm2d if frozen_norm else nn.BatchNorm2d
        whole = resnet50(weights=None, replace_stride_with_dilation=dilated, norm_layer=norm)
        self.channels = (256, 512, 1024, 2048)
        self.conv1, self.bn1, self.relu, self.maxpool = (
            whole.conv1,
            whole.bn1,
            whole.relu,
            whole.maxpool,
        )
        self.layer1, self.layer2, self.layer3, self.layer4 = (
            whole.layer1,
            whole.layer2,
            whole.layer3,
            whole.layer4,
        )
        self.frozen = (
            ["conv1", "bn1", *(f"layer{number}" for number in range(1, frozen_layers + 1))]
            if frozen_layers
            else []
        )
        for name in self.frozen:
            getattr(self, name).requires_grad_(False)

    def train(self, mode: bool = True) -> ResNet50:
        """Switch to training or eval mode; what is frozen stays in eval mode."""
        super().train(mode)
        for name in self.frozen:
            getattr(self, name).eval()
        return self

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps "0" .. "3" of pictures (B, 3, H, W)."""
        return _four_maps(self, self.maxpool(self.relu(self.bn1(self.conv1(x)))))


class Pyramid(nn.Module):
    """Join a body and the feature pyramid on its maps.

    Paper: Lin et al., CVPR 2017, arXiv:1612.03144.

    Args:
        width: channels of all maps of the pyramid. norm: of its convolutions, by their width.
    """

    def __init__(
        self,
        body: SmallBody | ResNet50,
        width: int,
        *,
        norm: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self.body = body
        self.fpn = FeaturePyramidNetwork(
            list(body.channels), width, extra_blocks=LastLevelMaxPool(), norm_layer=norm
        )
        self.out_channels = width

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Return the maps "0" .. "3" at strides 4 .. 32, and "pool" at 64, of (B, 3, H, W)."""
        return self.fpn(self.body(x))


def grouped(width: int) -> nn.Module:
    """Return GroupNorm as the small networks have it."""
    return nn.GroupNorm(width // _GROUP, width)


def build(
    size: str, *, output_stride: int = 32, frozen_norm: bool = False, frozen_layers: int = 0
) -> SmallBody | ResNet50:
    """Return a body with weights drawn from torch's generator: seed it before.

    Args:
        size: small | resnet50.
        output_stride, frozen_norm, frozen_layers: of ResNet-50 alone; the small one, which has a
            pyramid in place of dilation, is never frozen.
    Raises:
        ValueError: another size or stride.
    """
    if output_stride not in ((8, 16, 32) if size == "resnet50" else (32,)):
        raise ValueError(
            "output_stride: wanted 8, 16 or 32, and 32 alone of the small body, "
            f"got {output_stride}"
        )
    if size == "small":
        return SmallBody()
    if size == "resnet50":
        return ResNet50(
            output_stride=output_stride, frozen_norm=frozen_norm, frozen_layers=frozen_layers
        )
    raise ValueError(f"size: wanted small or resnet50, got {size!r}")


def fill(body: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Load a body's weights, strictly but for counters of batches and a classifier.

    Raises:
        WeightsError: says how many tensors are missing, unknown, of another shape.
    """
    wanted = body.state_dict()
    given = {key: value for key, value in state.items() if not key.startswith("fc.")}
    counters = [key for key in wanted if key.endswith("num_batches_tracked")]
    missing = [key for key in wanted if key not in given and key not in counters]
    foreign = [
        key for key in given if key not in wanted and not key.endswith("num_batches_tracked")
    ]
    misfit = [key for key in wanted if key in given and wanted[key].shape != given[key].shape]
    if missing or foreign or misfit:
        raise WeightsError(
            f"these weights are not those of a {type(body).__name__}: "
            f"{len(missing)} tensors missing "
            f"({', '.join(missing[:3]) or 'none'}), "
            f"{len(foreign)} unknown ({', '.join(foreign[:3]) or 'none'}), "
            f"{len(misfit)} of another shape ({', '.join(misfit[:3]) or 'none'}). "
            f"Give weights of this network ({setting('detect.size')}, "
            f"{setting('segment.size')}), or none"
        )
    body.load_state_dict({key: given.get(key, value) for key, value in wanted.items()})


def _four_maps(body: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """Return the maps behind layer1 .. layer4 of a body."""
    maps = OrderedDict()
    for number in range(4):
        x = body.get_submodule(f"layer{number + 1}")(x)
        maps[str(number)] = x
    return maps
