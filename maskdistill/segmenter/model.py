"""Model: DeepLabv3, an atrous pyramid on a dilated body, logits enlarged to the picture.

Paper:    Chen et al., 2017, arXiv:1706.05587
In:       (B, 3, H, W) float32, normalised with ImageNet's mean and deviation
Out:      logits (B, classes, H, W), class 0 background, 1 + cluster
Differs:  nothing at size resnet50 (torchvision's, without the auxiliary head); small: GroupNorm,
          the atrous pyramid on a feature pyramid's map at stride 8, joined with that at stride 4
          as in DeepLabv3+ (arXiv:1802.02611): cheaper, and learns faster (docs/log/training.md)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.segmentation.deeplabv3 import DeepLabHead

from maskdistill.training import bodies

# Of the small network: the small detector's, so that it can start from it.
PYRAMID_WIDTH = 64


class DeepLab(nn.Module):
    """Join a backbone, a classifier on some of its maps, bilinear enlargement.

    Args:
        at: names of the maps that the classifier takes, in its order.
    """

    def __init__(self, backbone: nn.Module, classifier: nn.Module, *, at: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone, self.classifier, self.at = backbone, classifier, at

    @property
    def body(self) -> nn.Module:
        """Return the convolutional body, without a pyramid on it."""
        return self.backbone.body if isinstance(self.backbone, bodies.Pyramid) else self.backbone

    def forward(self, x: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) float32 of pictures (B, 3, H, W)."""
        maps = self.backbone(x)
        logits = self.classifier(*(maps[name] for name in self.at))
        # In bfloat16 one pixel in 150 would have two largest logits.
        return functional.interpolate(
            logits.float(), size=x.shape[-2:], mode="bilinear", align_corners=False
        )


class SmallHead(nn.Module):
    """Classify by an atrous pyramid on a coarse map, joined with a fine one.

    The pyramid is a 1 x 1 convolution, one of each rate, and the picture's mean, with GroupNorm.

    Args:
        n_in: channels of both maps. n_classes: background included.
        rates: of dilation. width: channels inside.
    """

    def __init__(
        self, n_in: int, n_classes: int, *, rates: tuple[int, ...] = (1, 2, 3), width: int = 64
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [_conv(n_in, width, 1), *(_conv(n_in, width, 3, dilation=rate) for rate in rates)]
        )
        self.mean = nn.Sequential(nn.Conv2d(n_in, width, 1), nn.ReLU())
        self.project = _conv(width * (len(rates) + 2), width, 1)
        self.dropout = nn.Dropout(0.1)
        self.skip = _conv(n_in, width, 1)
        self.refine = _conv(width, width, 3)
        self.classify = nn.Conv2d(width, n_classes, 1)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Return logits (B, classes, H, W) of maps (B, n_in, h, w) and (B, n_in, H, W)."""
        mean = self.mean(coarse.mean(dim=(2, 3), keepdim=True)).expand(-1, -1, *coarse.shape[2:])
        joined = torch.cat([*(branch(coarse) for branch in self.branches), mean], dim=1)
        context = self.dropout(self.project(joined))
        enlarged = functional.interpolate(
            context, size=fine.shape[-2:], mode="bilinear", align_corners=False
        )
        return self.classify(self.refine(enlarged + self.skip(fine)))


def build(
    *, size: str = "resnet50", n_classes: int, seed: int = 0, frozen_layers: int = 2
) -> DeepLab:
    """Return a segmenter with weights drawn from a seed, in eval mode.

    Args:
        size: resnet50 (output stride 8, rates 12, 24, 36) or small.
        n_classes: clusters and background.
        frozen_layers: of ResNet-50: conv1, bn1 and so many layers stay as they are; source:
            MaskDistill release.
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed GPUs too: nothing restores them.
        torch.default_generator.manual_seed(seed)
        if size == "small":
            pyramid = bodies.Pyramid(bodies.build(size), PYRAMID_WIDTH, norm=bodies.grouped)
            return DeepLab(pyramid, SmallHead(PYRAMID_WIDTH, n_classes), at=("1", "0")).eval()
        body = bodies.build(size, output_stride=8, frozen_layers=frozen_layers)
        return DeepLab(body, DeepLabHead(body.channels[-1], n_classes), at=("3",)).eval()


def _conv(n_in: int, n_out: int, kernel: int, *, dilation: int = 1) -> nn.Sequential:
    """Return a convolution that keeps the map's size, GroupNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(
            n_in, n_out, kernel, padding=dilation * (kernel // 2), dilation=dilation, bias=False
        ),
        bodies.grouped(n_out),
        nn.ReLU(),
    )
