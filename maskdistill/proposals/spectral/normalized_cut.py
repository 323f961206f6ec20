"""Normalised cut: the second generalised eigenvector of (D - W, D) of a patch graph.

Paper:    Shi and Malik, PAMI 2000; used as in TokenCut, Wang et al., CVPR 2022
In:       an operator: the degrees D of a graph and products with its weights W
Out:      Cut: vector, eigenvalue, residual, number of products, fallback to the dense solver
Differs:  solved by Lanczos with the known first vector projected out, not by a dense solver; sign
          by rule
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg

from maskdistill.numba_jit import compiled
from maskdistill.proposals.spectral.graphs import Dense, TwoValued

# Of the peak: values nearer to it are ties. Of 80 graphs of photographs, 1e-7 to 1e-4 give one seed
# patch each, without ties rounding decides one (docs/log/proposals.md, 2026-11-30).
EQUAL = 1e-5
# The gap to the next eigenvalue in residuals: the vector is then off by less than 1e-4 of its
# length; on those graphs by 1.2e-5 of its peak at most.
_SURE = 1e4
_ROUNDING = 1e-13  # of a residual: below it nothing is gained, and a gap that is no wider is none


@dataclass(frozen=True)
class Cut:
    """Hold the second eigenvector of (D - W, D).

    Attributes:
        vector: (n,) float64, v'Dv = 1; its strongest entry (see `strongest`) is positive.
        value: eigenvalue, in [0, 2]: the price of the cut; 0 where the graph is disconnected.
        residual: length of (D^-1/2 W D^-1/2 - (1 - value)) z for the unit vector z = D^1/2 v.
        products: with W.
        fallback: the iteration did not settle the vector within its products, as where the next
            eigenvalue is near: the dense solver gave the answer. An eigenvalue that is repeated
            exactly is not noticed: the iteration sees it once, and the seed decides which of its
            vectors comes out.
    """

    vector: np.ndarray
    value: float
    residual: float
    products: int
    fallback: bool


def second_eigenvector(
    operator: Dense | TwoValued, *, tolerance: float = 1e-6, max_products: int = 300, seed: int = 0
) -> Cut:
    """Return the vector that cuts a graph in two with the least normalised cut.

    The iteration ends when the residual is below `tolerance` and the gap to the next eigenvalue is
    1e4 times as wide: where it is narrow the iteration goes on, down to rounding. Of equal
    eigenvalues any vector may come out.

    Args:
        operator: a graph of n >= 2 nodes with positive degrees.
        tolerance: of the residual, > 0.
        max_products: then the dense solver decides, and `fallback` is True.
        seed: of the start vector.
    Returns:
        Cut. With equal n, operator and seed: the same bits on the same machine and thread count.
    Raises:
        ValueError: fewer than two nodes, a degree that is not positive, tolerance or max_products
            out of range.
    Source: Lanczos with full reorthogonalisation. Twin: tests/reference/normalized_cut.py, a dense
        solver.

    >>> weights = np.kron(np.eye(2), np.ones((2, 2))) + 0.1  # two pairs
    >>> second_eigenvector(Dense(weights)).vector > 0
    array([ True,  True, False, False])
    """
    degrees = operator.degrees
    n = len(degrees)
    if n < 2:
        raise ValueError(f"operator: a cut needs at least two nodes, got {n}")
    if not (np.isfinite(degrees).all() and (degrees > 0).all()):
        raise ValueError("operator: degrees must be finite and above zero")
    if tolerance <= 0 or max_products < 1:
        raise ValueError(
            f"tolerance and max_products must be above zero, got {tolerance}, {max_products}"
        )
    ritz = _largest(
        operator, np.random.default_rng(seed).standard_normal(n), tolerance, max_products
    )
    if _is_sure(ritz.residual, ritz.gap, tolerance):
        return _cut_of(ritz.vector, 1 - ritz.value, ritz.residual, ritz.products, False, degrees)
    return _by_dense_solver(operator, ritz.products)


def strongest(vector: np.ndarray) -> int:
    """Return the entry of largest absolute value; of those within 1e-5 of it, the first.

    Nodes with the same neighbours have the same value but for rounding, which must not decide.

    >>> strongest(np.array([0.1, -0.9999999, 1.0]))
    1
    """
    sizes = np.abs(vector)
    return int(np.argmax(sizes >= (1 - EQUAL) * sizes.max()))


@dataclass(frozen=True)
class _Ritz:
    """Hold an approximate eigenpair.

    Attributes:
        vector: (n,), of length 1.
        gap: to the next Ritz value; inf where there is none.
        products: with W that it took.
    """

    vector: np.ndarray
    value: float
    residual: float
    gap: float
    products: int


def _largest(
    operator: Dense | TwoValued, start: np.ndarray, tolerance: float, max_products: int
) -> _Ritz:
    """Return the largest eigenpair of D^-1/2 W D^-1/2 across from its first vector.

    The first vector is known: the root of the degrees.

    Args:
        start: (n,), of any length; not along the first vector.
    """
    roots = np.sqrt(operator.degrees)
    n = len(roots)
    n_steps = min(max_products, n - 1)
    basis = np.empty((n_steps + 2, n))
    basis[0] = roots / np.linalg.norm(roots)
    diagonal, beside = np.zeros(n_steps), np.zeros(n_steps)
    basis[1] = start
    _orthonormalise(basis, 1)
    for step in range(n_steps):
        vector = basis[step + 1]
        following = operator.product(vector / roots) / roots
        diagonal[step] = vector @ following
        basis[step + 2] = following
        beside[step] = _orthonormalise(basis, step + 2)
        last = step + 1 == n_steps or beside[step] < 1e-12
        if not (step or last):
            continue
        weights, value, following_value = _top_pair(diagonal[: step + 1], beside[:step])
        residual = float(beside[step] * abs(weights[-1]))
        # Of a whole basis the residual is rounding alone.
        gap = value - following_value if step + 1 < n - 1 else np.inf
        if last or residual < _ROUNDING or _is_sure(residual, gap, tolerance):
            found = weights @ basis[1 : step + 2]
            return _Ritz(found / np.linalg.norm(found), value, residual, gap, step + 1)
    raise AssertionError("a Lanczos pass has at least one step")


def _is_sure(residual: float, gap: float, tolerance: float) -> bool:
    """Return whether a Ritz vector is the eigenvector, by its residual and the gap to the next."""
    return residual <= tolerance and gap > _SURE * max(residual, _ROUNDING)


@compiled()
def _orthonormalise(basis: np.ndarray, number: int) -> float:
    """Take off basis[number] its parts along the rows before it, and scale the rest to length 1.

    The parts are taken off twice, because once leaves rounding along the rows.

    Returns:
        The length before it was scaled.
    """
    vector = basis[number]
    for _ in range(2):
        for row in range(number):
            other = basis[row]
            along = np.dot(other, vector)
            for place in range(len(vector)):
                vector[place] -= along * other[place]
    length = np.sqrt(np.dot(vector, vector))
    if length > 0:
        vector /= length
    return length


@compiled()
def _top_pair(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Return the largest eigenpair of a tridiagonal matrix, and the next value.

    Values come by bisection on the signs of a Sturm sequence, the vector by the recurrence from its
    last entry, which is stable where entries grow towards the first, as those of a converging
    Lanczos pass do. scipy's solver took 0.1 ms a step, this 0.01 (docs/log/proposals.md).

    Args:
        diagonal: (steps,). beside: (steps - 1,), next to the diagonal.
    Returns:
        The unit vector (steps,), its value, the next value (-inf of one step).
    """
    n = len(diagonal)
    reach = 0.0
    for row in range(n):
        size = abs(diagonal[row])
        size += abs(beside[row]) if row < n - 1 else 0.0
        size += abs(beside[row - 1]) if row else 0.0
        reach = max(reach, size)
    values = np.full(2, -np.inf)
    for rank in range(min(2, n)):
        low, high = -reach, reach
        while high - low > 2e-16 * reach:
            middle = 0.5 * (low + high)
            if middle in (low, high):
                break
            above, pivot = 0, 1.0
            for row in range(n):
                pivot = diagonal[row] - middle - (beside[row - 1] ** 2 / pivot if row else 0.0)
                if pivot == 0:
                    pivot = 1e-300
                above += pivot > 0
            if above > rank:
                low = middle
            else:
                high = middle
        values[rank] = 0.5 * (low + high)
    vector = np.ones(n)
    for row in range(n - 1, 0, -1):
        following = beside[row] * vector[row + 1] if row < n - 1 else 0.0
        vector[row - 1] = ((values[0] - diagonal[row]) * vector[row] - following) / beside[row - 1]
        if abs(vector[row - 1]) > 1e100:
            vector[row - 1 :] /= abs(vector[row - 1])
    return vector / np.sqrt(np.dot(vector, vector)), values[0], values[1]


def _by_dense_solver(operator: Dense | TwoValued, products: int) -> Cut:
    """Return the cut by a dense solver, which takes n^3; `products` were spent before."""
    weights = operator.dense()
    roots = np.sqrt(operator.degrees)
    weights /= roots[:, None]
    weights /= roots[None]
    n = len(roots)
    first = roots / np.linalg.norm(roots)
    # The first vector, of eigenvalue 1, goes below all others.
    weights -= 2 * np.outer(first, first)
    values, vectors = linalg.eigh(weights, subset_by_index=[n - 1, n - 1], overwrite_a=False)
    vector = vectors[:, 0]
    residual = float(np.linalg.norm(weights @ vector - values[0] * vector))
    return _cut_of(vector, 1 - float(values[0]), residual, products, True, operator.degrees)


def _cut_of(
    unit: np.ndarray,
    value: float,
    residual: float,
    products: int,
    fallback: bool,
    degrees: np.ndarray,
) -> Cut:
    """Return the Cut of a unit vector of D^-1/2 W D^-1/2; `value` is that of (D - W, D)."""
    vector = unit / np.sqrt(degrees)
    if vector[strongest(vector)] < 0:
        vector = -vector
    return Cut(
        vector=vector,
        value=max(0.0, value),
        residual=residual,
        products=products,
        fallback=fallback,
    )
