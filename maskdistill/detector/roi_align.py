"""RoIAlign for training on CPU: two small matrix products a box, whose gradient is two more.

Paper:    He et al., ICCV 2017, arXiv:1703.06870, Sec. 3; bilinear sampling is separable
In:       maps of a feature pyramid, boxes of each picture
Out:      (boxes, channels, side, side), as torchvision's MultiScaleRoIAlign
Differs:  in rounding alone. Torchvision's backward on CPU adds up one sample after the other in one
          thread: a fifth of a training step (docs/log/training.md). Without gradients and on GPUs
          torchvision's own is used.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

# A box of 224 px is read from the map at stride 2^4; source: FPN, Sec. 4.
CANONICAL_SIDE, CANONICAL_LEVEL = 224, 4


class SeparableRoIAlign(MultiScaleRoIAlign):
    """Pool as torchvision does, with a faster gradient on CPU.

    The maps are "0" .. "3", at strides 4, 8, 16, 32.
    """

    def __init__(self, output_size: int, sampling_ratio: int = 2) -> None:
        super().__init__(["0", "1", "2", "3"], output_size, sampling_ratio)
        fix_scales(self)

    def forward(
        self, x: dict[str, Tensor], boxes: list[Tensor], image_shapes: list[tuple[int, int]]
    ) -> Tensor:
        """Return (n, channels, side, side), n the boxes of all pictures in their order.

        Args:
            x: maps by name, (pictures, channels, rows, cols) each.
            boxes: (n_i, 4) of each picture, px. image_shapes: (height, width) of each.
        """
        maps = [x[name] for name in self.featmap_names]
        if maps[0].device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x, boxes, image_shapes)
        side = int(self.output_size[0])
        levels = self.map_levels(boxes).split([len(each) for each in boxes])
        rows: list[Tensor] = []
        pooled: list[Tensor] = []
        first = 0
        for picture, (own, level) in enumerate(zip(boxes, levels, strict=True)):
            for number, features in enumerate(maps):
                chosen = torch.where(level == number)[0]
                if len(chosen):
                    scaled = own[chosen] / 2 ** (number + 2)
                    pooled.append(
                        pool(features[picture], scaled, side=side, samples=self.sampling_ratio)
                    )
                    rows.append(first + chosen)
            first += len(own)
        if not pooled:
            return maps[0].new_zeros((0, maps[0].shape[1], side, side))
        order = torch.argsort(torch.cat(rows))
        return torch.cat(pooled)[order]


def fix_scales(pooling: MultiScaleRoIAlign) -> None:
    """Tell a pooling that its maps have strides 4, 8, 16, 32.

    Torchvision guesses so from the first picture and keeps the guess: from one whose padding to a
    multiple of 32 adds more than 2/5 to its height (1 .. 22, 33 .. 45, 65 .. 67 px) it would read
    all later boxes from wrong places.
    """
    pooling.scales = [2.0**-level for level in range(2, 6)]
    pooling.map_levels = LevelMapper(2, 5, CANONICAL_SIDE, CANONICAL_LEVEL)


def pool(features: Tensor, boxes_xyxy: Tensor, *, side: int, samples: int) -> Tensor:
    """Return the boxes of one map, pooled.

    Args:
        features: (channels, rows, cols) float32.
        boxes_xyxy: (n, 4) in cells of the map, cell 0 centred at 0 (`aligned=False`).
        side: bins a side. samples: a bin's side is sampled at so many places.
    Returns:
        (n, channels, side, side).
    """
    channels, height, width = features.shape
    down = _weights(boxes_xyxy[:, 1], boxes_xyxy[:, 3], size=height, side=side, samples=samples)
    right = _weights(boxes_xyxy[:, 0], boxes_xyxy[:, 2], size=width, side=side, samples=samples)
    by_rows = features.permute(1, 0, 2).reshape(height, channels * width)
    halfway = (down.reshape(-1, height) @ by_rows).view(len(boxes_xyxy), side * channels, width)
    pooled = halfway @ right.transpose(1, 2)
    return pooled.view(-1, side, channels, side).permute(0, 2, 1, 3)


def _weights(low: Tensor, high: Tensor, *, size: int, side: int, samples: int) -> Tensor:
    """Return how much each cell of an axis counts in each bin, (n, side, size).

    Bilinear, the mean over a bin's samples.

    Args:
        low, high: (n,) edges of the boxes, in cells. size: cells of the axis.
        side: bins. samples: a bin.
    """
    bin_width = (high - low).clamp(min=1.0) / side
    places = (torch.arange(side * samples, device=low.device) + 0.5) / samples
    at = low[:, None] + places * bin_width[:, None]
    inside = (at >= -1) & (at <= size)
    cells = torch.arange(size, device=low.device)
    weights = (1 - (at.clamp(0, size - 1)[..., None] - cells).abs()).clamp(min=0) * inside[
        ..., None
    ]
    return weights.view(len(low), side, samples, size).mean(dim=2)
