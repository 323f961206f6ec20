"""Patches: those of all pictures in one array, drawn picture by picture and shuffled there.

In:       tokens, class token and soft labels of each view, in the order in which they are read
Out:      Patches: at most so many rows, every view its share of them; a step's rows by number
Differs:  tokens lie on the disk by picture, and are read once and in order: steps draw from memory
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from maskdistill.segmenter.patch_head import PatchHead

# Tokens (blocks, rows, columns, channels) of a view, its class token (width,), its soft labels
# (rows, columns, classes) as of `soft_labels.shares`.
LabelledView = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Patches:
    """Hold the patches that a head is trained on.

    Attributes:
        tokens: (n, channels) float16, the channels of all blocks.
        views: (n,) int32, the view of each patch.
        class_tokens: (views, width) float16.
        labels: (n, classes) float16, the share of each class, at most 1 together.
    """

    tokens: np.ndarray
    views: np.ndarray
    class_tokens: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        """Return the number of patches."""
        return len(self.tokens)


def drawn(
    views: Iterable[LabelledView],
    sizes: Sequence[int],
    *,
    most: int = 1_500_000,
    share: float = 1.0,
    seed: int = 0,
) -> Patches:
    """Return patches of all views, each view's drawn evenly among those that have a label.

    Args:
        views: in order, each read once; see LabelledView.
        sizes: patches of each view, at least one view.
        most: patches in all. share: of each view's patches, in (0, 1].
        seed: of the draw; each view's is its own.
    Raises:
        ValueError: fewer or more views than sizes, or a view of another size.
    """
    part = min(share, most / max(1, sum(sizes)))
    # Rounded down over the sum, so that small views have their share too and no more than `most`.
    quotas = np.diff(np.floor(np.cumsum([0, *sizes]) * part + 1e-9).astype(np.int64))
    made: Patches | None = None
    done, number = 0, -1
    for number, (tokens, class_token, labels) in enumerate(views):
        rows = labels.shape[0] * labels.shape[1]
        if number >= len(sizes) or rows != sizes[number] or tokens.shape[1:3] != labels.shape[:2]:
            raise ValueError(
                f"views: number {number} has tokens {tokens.shape} and labels {labels.shape}, "
                f"wanted the sizes {list(sizes[number : number + 1])} of {len(sizes)} views"
            )
        if made is None:
            made = _empty(int(quotas.sum()), len(sizes), tokens, class_token, labels)
        flat = labels.reshape(rows, -1)
        labelled = np.flatnonzero(flat.any(axis=1))
        order = np.random.default_rng([seed, 3, number]).permutation(labelled)
        # In the order of the picture, as it lies in memory.
        chosen = np.sort(order[: quotas[number]])
        until = done + len(chosen)
        by_patch = tokens.reshape(len(tokens), rows, -1)[:, chosen]  # (blocks, chosen, channels)
        made.tokens[done:until] = by_patch.transpose(1, 0, 2).reshape(
            len(chosen), made.tokens.shape[1]
        )
        made.views[done:until], made.class_tokens[number] = number, class_token
        made.labels[done:until] = flat[chosen]
        done = until
    if made is None or number + 1 != len(sizes):
        raise ValueError(f"views: wanted {len(sizes)}, at least one, found {number + 1}")
    return Patches(made.tokens[:done], made.views[:done], made.class_tokens, made.labels[:done])


def _empty(
    n: int, n_views: int, tokens: np.ndarray, class_token: np.ndarray, labels: np.ndarray
) -> Patches:
    """Return room for n patches of views like the one given."""
    return Patches(
        tokens=np.empty((n, tokens.shape[0] * tokens.shape[3]), np.float16),
        views=np.empty(n, np.int32),
        class_tokens=np.empty((n_views, len(class_token)), np.float16),
        labels=np.empty((n, labels.shape[2]), np.float16),
    )


def steps(n_patches: int, *, passes: int = 8, batch: int = 2048) -> int:
    """Return the steps in which every patch is seen `passes` times, at least 1.

    >>> steps(5000), steps(100)
    (20, 1)
    """
    return max(1, -(-passes * n_patches // batch))


def patch_batches(n_patches: int, *, batch: int = 2048, seed: int = 0) -> Callable[[int], Any]:
    """Return the function from a step to the numbers of its patches.

    Args:
        n_patches: 1 or more. batch: patches a step.
    Returns:
        batch_of(step) -> list of `batch` integers: every patch comes once before any comes again,
        in another order each time.
    """
    orders: dict[int, np.ndarray] = {}  # of the last passes: a step would shuffle a million anew

    def order(number: int) -> np.ndarray:
        if number not in orders:
            while len(orders) > 1:
                del orders[min(orders)]
            orders[number] = np.random.default_rng([seed, 4, number]).permutation(n_patches)
        return orders[number]

    def batch_of(step: int) -> list[int]:
        places = np.arange(step * batch, (step + 1) * batch)
        passes = places // n_patches
        return np.concatenate(
            [order(int(each))[places[passes == each] % n_patches] for each in np.unique(passes)]
        ).tolist()

    return batch_of


def patch_losses(
    patches: Patches,
) -> Callable[[nn.Module, list[Any], int], Mapping[str, Tensor]]:
    """Return the function from (model, numbers of patches, step) to the loss, by its name.

    It is the cross-entropy of the known pixels: each patch's, weighted by the share of it that has
    a label.
    """

    def loss_of(model: nn.Module, batch: list[Any], step: int) -> Mapping[str, Tensor]:
        assert isinstance(model, PatchHead)
        device = next(model.parameters()).device
        rows = np.asarray(batch)
        class_tokens = patches.class_tokens[patches.views[rows]]
        tokens, classes, labels = (
            torch.from_numpy(each).to(device).float()
            for each in (patches.tokens[rows], class_tokens, patches.labels[rows])
        )
        return {"cross_entropy": soft_cross_entropy(model(tokens, classes), labels)}

    return loss_of


def soft_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross-entropy of soft labels, per labelled patch; 0 where none is labelled.

    Args:
        logits: (n, classes). labels: (n, classes), shares of each patch, 0 together at least.
    """
    each = -(labels * torch.log_softmax(logits.float(), dim=1)).sum()
    return each / labels.sum().clamp(min=1e-6)
