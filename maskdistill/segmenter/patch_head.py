"""Patch head: classes of single patches from a frozen ViT's tokens and the class token.

Paper:    none for the head; a linear one is the usual probe of frozen features
In:       tokens (n, channels) of patches, class tokens (n, width) of their pictures
Out:      logits (n, classes), class 0 background, 1 + cluster
Differs:  ours (docs/log/segmenter.md): shuffled patches of all pictures teach in seconds what
          batches of pictures do not in minutes
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PatchHead(nn.Module):
    """Classify patches by one hidden layer, or by none.

    Args:
        channels: of a patch's tokens, all blocks together. width: of the class token, 0 for none.
        n_classes: background included. hidden: 0: a linear head.
        dropout: share of the hidden layer that a step leaves out.
    """

    def __init__(
        self, channels: int, width: int, n_classes: int, *, hidden: int = 384, dropout: float = 0.1
    ) -> None:
        super().__init__()
        self.channels, self.width, n_in = channels, width, channels + width
        self.norm = nn.BatchNorm1d(n_in)
        self.hidden: nn.Module = nn.Identity()
        if hidden:
            self.hidden = nn.Sequential(nn.Linear(n_in, hidden), nn.GELU(), nn.Dropout(dropout))
        self.classify = nn.Linear(hidden or n_in, n_classes)

    def forward(self, tokens: Tensor, class_tokens: Tensor) -> Tensor:
        """Return logits (n, classes) float32 of tokens (n, channels) and class tokens (n, width).

        Class tokens may be (1, width), one for all.
        """
        joined = torch.cat([tokens, class_tokens.expand(len(tokens), -1)], dim=1)
        return self.classify(self.hidden(self.norm(joined))).float()


def build_on_patches(
    *,
    channels: int,
    width: int,
    n_classes: int,
    hidden: int = 384,
    dropout: float = 0.1,
    seed: int = 0,
) -> PatchHead:
    """Return a patch head with weights drawn from a seed, in eval mode.

    Args:
        channels: of a patch's tokens, all blocks together.
        width: of the class token, 0 where the backbone has none.
        n_classes: clusters and background.
        hidden: width of the hidden layer, 0: a linear head. dropout: in [0, 1).
    """
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would seed GPUs too: nothing restores them.
        torch.default_generator.manual_seed(seed)
        return PatchHead(channels, width, n_classes, hidden=hidden, dropout=dropout).eval()
