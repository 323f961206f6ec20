"""The dense CRF with torch's own operations: for tensors on a GPU, where no kernel of ours runs.

Paper:    as `inference`, `lattice`, `ring` and `separable`, which this follows step by step
In:       picture and probabilities as tensors on one device
Out:      probabilities on that device
Differs:  from the compiled loops in the order of sums alone; all is float32, and two classes are
          two numbers
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from maskdistill.crf import checks
from maskdistill.crf.compiled import lattice, ring
from maskdistill.crf.compiled.separable import separable

if TYPE_CHECKING:
    from collections.abc import Callable

    Filter = Callable[[Tensor], Tensor]  # (pixels, classes) to the same


def check(image: Tensor, probabilities: Tensor) -> None:
    """Raise ValueError as `checks` for arrays does.

    The picture comes back from the device, of the probabilities one value if all is well.

    Args:
        image: (height, width, 3).
        probabilities: (classes, height, width).
    """
    checks.image(checks.array_of(image))
    size = (int(image.shape[0]), int(image.shape[1]))
    shaped = (
        probabilities.ndim == 3
        and len(probabilities) > 0
        and tuple(probabilities.shape[1:]) == size
    )
    if shaped and probabilities.is_floating_point():
        off = (probabilities.sum(dim=0, dtype=torch.float32) - 1).abs().amax()
        if bool((probabilities.amin() >= 0) & (off <= checks.SUMS)):
            return
    checks.probabilities(checks.array_of(probabilities), size)


def dense_crf(
    image: Tensor,
    probabilities: Tensor,
    *,
    floor: float,
    iterations: int,
    gaussian: tuple[float, float],
    bilateral: tuple[float, float, float],
    close: bool,
    sharper: float,
) -> Tensor:
    """Return probabilities after mean field on the tensors' device.

    Args:
        image: (height, width, 3) uint8 or floating, 0 to 255.
        probabilities: (classes, height, width) floating.
        floor: least probability before the logarithm.
        iterations: as checked by `mean_field.dense_crf`, like the kernels.
        gaussian: deviation in px, weight.
        bilateral: deviation in px, deviation in grey levels, weight.
        close: the Gaussian kernel exactly, the bilateral one with its ring and `sharper` features.
        sharper: factor of the features, for `close`.
    Returns:
        (classes, height, width) float32.
    """
    n_classes, height, width = probabilities.shape
    logits = (
        probabilities.detach().float().clamp(floor, 1).log().reshape(n_classes, -1).T.contiguous()
    )
    device = logits.device
    row, col = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    places = torch.stack([col.flatten(), row.flatten()], dim=1).float()
    filters: list[Filter] = []
    if iterations and gaussian[1] and close:
        filters.append(_plane(height, width, gaussian, device))
    elif iterations and gaussian[1]:
        filters.append(_lattice(places / gaussian[0], gaussian[1], with_ring=False))
    if iterations and bilateral[2]:
        colours = image.to(device).reshape(-1, 3).float()
        factor = sharper if close else 1.0
        features = torch.cat(
            [places / (bilateral[0] / factor), colours / (bilateral[1] / factor)], dim=1
        )
        filters.append(_lattice(features, bilateral[2], with_ring=close))
    found = logits.softmax(dim=1)
    for _ in range(iterations):
        total = logits.clone()
        for passed in filters:
            total += passed(found)
        found = total.softmax(dim=1)
    return found.T.reshape(n_classes, height, width).contiguous()


def _plane(height: int, width: int, gaussian: tuple[float, float], device: torch.device) -> Filter:
    """Return the kernel of place, (std_px, weight), as a filter by two matrices."""
    bands = separable(height, width, *gaussian)
    down, across = (torch.from_numpy(_square(band)).to(device) for band in bands)

    def passed(found: Tensor) -> Tensor:
        """Return (pixels, classes) after the two matrices."""
        planes = found.T.reshape(-1, height, width)
        return (down @ planes @ across.T).reshape(len(planes), -1).T

    return passed


def _square(band: np.ndarray) -> np.ndarray:
    """Return a matrix (n, n) of the band (n, 2 * reach + 1) around its diagonal."""
    n, reach = len(band), band.shape[1] // 2
    out = np.zeros((n, n), np.float32)
    for offset in range(-reach, reach + 1):
        at = np.arange(max(0, -offset), min(n, n - offset))
        out[at, at + offset] = band[at, offset + reach]
    return out


def _lattice(features: Tensor, weight: float, *, with_ring: bool) -> Filter:
    """Return weight * D^-1/2 K D^-1/2 as a filter on the lattice of features (pixels, d)."""
    bounds = torch.stack([features.amin(dim=0), features.amax(dim=0)]).cpu().numpy()
    packed = lattice.packing(*bounds)
    keys, shares = _embedded(features, packed)
    touched, vertices = torch.unique(keys, return_inverse=True)
    vertices = vertices + 1  # row 0 is what is absent
    levels = _levels(touched, packed, with_ring)
    order = torch.argsort(vertices.flatten(), stable=True)
    points = order // vertices.shape[1]
    counts = torch.bincount(vertices.flatten(), minlength=len(touched) + 1)
    starts = counts.cumsum(0) - counts

    def spread(found: Tensor, before: Tensor) -> Tensor:
        """Return the blurred lattice points of (pixels, classes), splat with weights `before`."""
        values = embedding_bag(
            points, found, starts, per_sample_weights=before.flatten()[order], mode="sum"
        )
        for own, first, second in levels:
            blurred = 0.5 * values[own] + 0.25 * (values[first] + values[second])
            values = torch.cat([values.new_zeros(1, values.shape[1]), blurred])
        return values

    ones = features.new_ones(len(features), 1)
    sums = embedding_bag(vertices, spread(ones, shares), per_sample_weights=shares, mode="sum")
    root = (sums + 1e-20).rsqrt()
    before, after = shares * root, shares * root * weight
    return lambda found: embedding_bag(
        vertices, spread(found, before), per_sample_weights=after, mode="sum"
    )


def _embedded(features: Tensor, packed: lattice.Packing) -> tuple[Tensor, Tensor]:
    """Return packed keys and barycentric weights of the simplex around each pixel.

    Args:
        features: (pixels, d) float32, over their deviations.
        packed: how coordinates become keys.
    Returns:
        keys (pixels, d + 1) int64, weights (pixels, d + 1) float32.
    """
    n, d = features.shape
    device = features.device
    parts = features * torch.from_numpy(packed.scales).to(device)
    # Coordinate i is the sum of the parts from i on, less i times the one before.
    sums = torch.cat([parts.flip(1).cumsum(dim=1).flip(1), parts.new_zeros(n, 1)], dim=1)
    raised = sums.clone()
    raised[:, 1:] -= torch.arange(1, d + 1, device=device) * parts
    cells = (raised * (1.0 / (d + 1))).round()  # half to even
    excess = cells.sum(dim=1, keepdim=True).long()
    rest = raised - cells * (d + 1)
    base = cells.long() * (d + 1)
    order = torch.argsort(rest, dim=1, descending=True, stable=True)
    rank = (
        torch.empty_like(order).scatter_(1, order, torch.arange(d + 1, device=device).expand(n, -1))
        + excess
    )
    turn = (d + 1) * ((rank < 0).long() - (rank > d).long())
    rank, base, rest = rank + turn, base + turn, (rest - turn) / (d + 1)
    shares = rest.new_zeros(n, d + 2)
    shares.scatter_add_(1, d - rank, rest).scatter_add_(1, d + 1 - rank, -rest)
    shares[:, 0] += 1 + shares[:, d + 1]
    strides, lowest = (
        torch.from_numpy(part).to(device) for part in (packed.strides, packed.lowest)
    )
    vertex = torch.arange(d + 1, device=device)
    above = rank[:, None, :d] > d - vertex[None, :, None]
    coordinates = base[:, None, :d] - lowest + vertex[None, :, None] - (d + 1) * above.long()
    return (coordinates * strides).sum(dim=2), shares[:, : d + 1].contiguous()


def _levels(
    touched: Tensor, packed: lattice.Packing, with_ring: bool
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Return the blurs, axis by axis, in rows of the level before; row 0 is what is absent.

    Args:
        touched: (n,) int64, sorted keys of the lattice points that pixels touch.
        packed: how keys of neighbours differ.
        with_ring: points next to those take part too, unless there are more than ring.MOST.
    """
    steps = [packed.step(axis) for axis in range(len(packed.scales) + 1)]
    points = touched
    if with_ring:
        points = torch.unique(
            torch.cat([touched, *(touched + sign * step for step in steps for sign in (-1, 1))])
        )
        if len(points) > ring.MOST:
            points = touched
    sides = [(_place(points, points - step), _place(points, points + step)) for step in steps]
    start = torch.zeros(len(points) + 1, dtype=torch.bool, device=points.device)
    start[_place(points, touched)] = True
    reached, useful = [start], [start]
    for pair in sides:
        reached.append(_grown(reached[-1], pair))
    for pair in reversed(sides):
        useful.append(_grown(useful[-1], pair))
    numbers, levels = _numbers(start), []
    for axis, (before, after) in enumerate(sides):
        taking_part = reached[axis + 1] & useful[len(steps) - axis - 1]
        rows = taking_part[1:].nonzero().flatten()
        levels.append((numbers[1 + rows], numbers[before[rows]], numbers[after[rows]]))
        numbers = _numbers(taking_part)
    return levels


def _place(keys: Tensor, wanted: Tensor) -> Tensor:
    """Return where each wanted key stands among the sorted keys, from 1; 0 if it does not."""
    at = torch.searchsorted(keys, wanted).clamp(max=len(keys) - 1)
    return torch.where(keys[at] == wanted, at + 1, 0)


def _grown(known: Tensor, sides: tuple[Tensor, Tensor]) -> Tensor:
    """Return the points (n + 1,) bool that are known or have a neighbour that is."""
    out = known.clone()
    out[1:] |= known[sides[0]] | known[sides[1]]
    return out


def _numbers(taking_part: Tensor) -> Tensor:
    """Return the points that take part counted from 1; 0 for the others."""
    return torch.where(taking_part, taking_part.cumsum(0), 0)
