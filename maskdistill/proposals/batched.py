"""Second eigenvectors of many two-valued graphs of one size at once, on the device that holds their keys.

Paper:    TokenCut, Wang et al., CVPR 2022, for the graphs; Lanczos as in normalized_cut.py
In:       unit keys (graphs, n, width), a threshold, a floor
Out:      list of Cut, as normalized_cut.second_eigenvector gives each
Differs:  ours: for GPUs; products in float32, all else in float64; what float32 does not settle is solved one by one
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from maskdistill.proposals.spectral import normalized_cut
from maskdistill.proposals.spectral.bits import Bits
from maskdistill.proposals.spectral.graphs import TwoValued
from maskdistill.proposals.spectral.normalized_cut import Cut

_ROUNDING = 1e-7  # of a float32 product: the residual that is estimated does not see it


@torch.inference_mode()
def second_eigenvectors(
    unit: Tensor,
    *,
    threshold: float = 0.2,
    floor: float = 1e-5,
    tolerance: float = 1e-6,
    n_steps: int = 24,
    seed: int = 0,
) -> list[Cut]:
    """The vector that cuts each graph in two with the least normalised cut.

    Args:
        unit: (graphs, n, width) float32, n >= 2, rows of length 1 or 0: two nodes are joined where their inner product
            exceeds the threshold.
        threshold: in [-1, 1].
        floor: weight of an absent edge, in (0, 1).
        tolerance: of the residual.
        n_steps: of Lanczos for all; a graph that they do not settle, by `normalized_cut`'s rule, is solved alone.
        seed: of the start vector, the same for all.
    Returns:
        A Cut a graph; `products` counts those of both ways.
    Raises:
        ValueError: another shape, threshold, floor, tolerance or n_steps out of range.
    Twin: normalized_cut.second_eigenvector.
    """
    if unit.ndim != 3 or unit.shape[1] < 2:
        raise ValueError(
            f"unit must be (graphs, n, width) with n at least 2, got {tuple(unit.shape)}"
        )
    if not -1 <= threshold <= 1:  # nan fails too
        raise ValueError(f"threshold must be in [-1, 1], got {threshold}")
    if not 0 < floor < 1 or tolerance <= 0 or n_steps < 1:
        raise ValueError(
            f"floor must be in (0, 1), tolerance and n_steps above 0, got {floor}, {tolerance}, {n_steps}"
        )
    n_graphs, n, _ = unit.shape
    joined = (unit @ unit.transpose(1, 2) > threshold).float()
    joined = joined.triu() + joined.triu(1).transpose(
        1, 2
    )  # equal on both sides, whatever the order of the sums was

    def product(vectors: Tensor) -> Tensor:
        sums = (joined @ vectors.float()[..., None])[..., 0].double()
        return (1 - floor) * sums + floor * vectors.sum(dim=1, keepdim=True)

    degrees = product(torch.ones(n_graphs, n, dtype=torch.float64, device=unit.device))
    roots = degrees.sqrt()
    steps = min(n_steps, n - 1)
    basis = torch.zeros(n_graphs, steps + 2, n, dtype=torch.float64, device=unit.device)
    basis[:, 0] = roots / roots.norm(dim=1, keepdim=True)
    start = torch.from_numpy(np.random.default_rng(seed).standard_normal(n)).to(unit.device)
    basis[:, 1], _ = _orthonormal(start.expand(n_graphs, n), basis[:, :1])
    diagonal, beside = [], []
    for step in range(steps):
        vector = basis[:, step + 1]
        following = product(vector / roots) / roots
        diagonal.append((vector * following).sum(dim=1))
        basis[:, step + 2], length = _orthonormal(following, basis[:, : step + 2])
        beside.append(length)
    tridiagonal = (
        torch.stack([torch.stack(diagonal, dim=1), torch.stack(beside, dim=1)]).cpu().numpy()
    )
    settled = [
        _settled(*tridiagonal[:, graph], n=n, tolerance=tolerance) for graph in range(n_graphs)
    ]
    weights = torch.zeros(n_graphs, steps, dtype=torch.float64)
    for graph, found in enumerate(settled):
        if found is not None:
            weights[graph, : len(found[0])] = torch.from_numpy(found[0])
    vectors = (weights.to(unit.device)[:, None] @ basis[:, 1 : steps + 1])[:, 0]
    vectors = (vectors / vectors.norm(dim=1, keepdim=True)).cpu().numpy()
    counted = degrees.cpu().numpy()
    cuts = []
    for graph, found in enumerate(settled):
        if found is None:
            alone = normalized_cut.second_eigenvector(
                TwoValued(Bits.of(joined[graph].cpu().numpy()), floor=floor),
                tolerance=tolerance,
                seed=seed,
            )
            cuts.append(
                Cut(
                    alone.vector,
                    alone.value,
                    alone.residual,
                    steps + alone.products,
                    alone.fallback,
                )
            )
        else:
            _, value, residual = found
            cuts.append(
                normalized_cut.cut_of(
                    vectors[graph], 1 - value, residual, steps, False, counted[graph]
                )
            )
    return cuts


def _orthonormal(vectors: Tensor, basis: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of vectors (graphs, n) across from a basis (graphs, rows, n), of length 1, and its length before."""
    for _ in range(2):  # once leaves rounding along it
        along = basis @ vectors[..., None]
        vectors = vectors - (along.transpose(1, 2) @ basis)[:, 0]
    length = vectors.norm(dim=1)
    return vectors / length.clamp_min(1e-300)[:, None], length


def _settled(
    diagonal: np.ndarray, beside: np.ndarray, *, n: int, tolerance: float
) -> tuple[np.ndarray, float, float] | None:
    """Weights of the basis, value and residual at the first step that is sure; None: none is."""
    for step in range(len(diagonal)):
        last = beside[step] < 1e-12
        if step or last or n == 2:
            weights, value, following = normalized_cut.top_pair(diagonal[: step + 1], beside[:step])
            residual = float(beside[step] * abs(weights[-1]))
            gap = value - following if step + 1 < n - 1 else np.inf
            if normalized_cut.is_sure(max(residual, _ROUNDING), gap, tolerance):
                return weights, value, residual
        if last:
            return None
    return None
