"""The normalised cut's vector: the second generalised eigenvector of (D - W, D) of a patch graph.

Paper:    Shi and Malik, PAMI 2000; used as in TokenCut, Wang et al., CVPR 2022
In:       an operator: the degrees D of a graph and products with its weights W
Out:      Cut: vector, eigenvalue, residual, number of products, whether the dense solver had to help
Differs:  solved by Lanczos with the known first vector projected out, not by a dense solver; sign by rule
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg

_ROWS = 512  # of a float64 product, so that the converted block stays in the cache
_PRECISE = 1e-9  # residual of the float64 pass
_EQUAL = 1e-5  # of the peak: values nearer to it than that are ties
_CLUSTERED = 1e4  # a gap must be so many residuals wide, or the vector is off by more than 1e-4 of its length
_ROUNDING = 1e-7  # of a float32 product: the residual that is estimated does not see it


@dataclass(frozen=True)
class Cut:
    """The second eigenvector of (D - W, D).

    Attributes:
        vector: (n,) float64, v'Dv = 1; its strongest entry (see `strongest`) is positive.
        value: eigenvalue, in [0, 2]: how badly the graph wants to be cut; 0 where it is disconnected.
        residual: length of (D^-1/2 W D^-1/2 - (1 - value)) z for the unit vector z = D^1/2 v.
        products: with W, of both passes.
        fallback: the iteration did not converge and the dense solver gave the answer.
    """

    vector: np.ndarray
    value: float
    residual: float
    products: int
    fallback: bool


class Dense:
    """A graph given by its weights (n, n), symmetric, not negative, every row with a positive sum; kept in float32."""

    def __init__(self, weights: np.ndarray) -> None:
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise ValueError(f"weights must be (n, n), got {weights.shape}")
        self.weights = np.ascontiguousarray(weights, np.float32)
        self.degrees = self.weights.sum(axis=1, dtype=np.float64)
        if not (np.isfinite(self.degrees).all() and (self.degrees > 0).all()):
            raise ValueError("weights: every row must have a finite sum above zero")

    def product(self, vector: np.ndarray) -> np.ndarray:
        """W times a float64 vector, in float32."""
        return (self.weights @ vector.astype(np.float32)).astype(np.float64)

    def precise_product(self, vector: np.ndarray) -> np.ndarray:
        """W times a float64 vector, in float64."""
        return _in_float64(self.weights, vector)

    def dense(self) -> np.ndarray:
        """W as (n, n) float64."""
        return self.weights.astype(np.float64)

    def restrict(self, indices: np.ndarray) -> Dense:
        """The graph of some of the nodes alone."""
        return Dense(self.weights[np.ix_(indices, indices)])


class TwoValued:
    """A graph with weight 1 where two nodes are joined and `floor` where not: only the joints are stored.

    W = (1 - floor) A + floor 11', so a product needs A and a sum. A is kept as float32 for the BLAS.
    """

    def __init__(self, joined: np.ndarray, *, floor: float) -> None:
        if joined.ndim != 2 or joined.shape[0] != joined.shape[1]:
            raise ValueError(f"joined must be (n, n), got {joined.shape}")
        if not 0 < floor < 1:
            raise ValueError(f"floor must be in (0, 1), got {floor}")
        self.joined = np.ascontiguousarray(joined, np.float32)
        self.floor = floor
        counts = (self.joined @ np.ones(len(joined), np.float32)).astype(np.float64)  # exact: whole numbers below 2^24
        self.degrees = (1 - floor) * counts + floor * len(joined)

    def product(self, vector: np.ndarray) -> np.ndarray:
        """W times a float64 vector, the sums over joined nodes in float32."""
        return (1 - self.floor) * (self.joined @ vector.astype(np.float32)) + self.floor * vector.sum()

    def precise_product(self, vector: np.ndarray) -> np.ndarray:
        """W times a float64 vector, in float64."""
        return (1 - self.floor) * _in_float64(self.joined, vector) + self.floor * vector.sum()

    def dense(self) -> np.ndarray:
        """W as (n, n) float64."""
        return (1 - self.floor) * self.joined.astype(np.float64) + self.floor

    def restrict(self, indices: np.ndarray) -> TwoValued:
        """The graph of some of the nodes alone."""
        return TwoValued(self.joined[np.ix_(indices, indices)], floor=self.floor)


def second_eigenvector(
    operator: Dense | TwoValued, *, tolerance: float = 1e-6, max_products: int = 300, seed: int = 0
) -> Cut:
    """The vector that cuts a graph in two with the least normalised cut.

    Products are float32 until the residual is below `tolerance`. Where the next eigenvalue is then too near to be
    sure of the vector, a second pass in float64 goes to 1e-9. Convergence is not monotone near clusters of equal
    eigenvalues: any vector of such a cluster may come out.

    Args:
        operator: a graph of n >= 2 nodes with positive degrees.
        tolerance: of the residual, > 0; float32 products do not get below about 1e-7.
        max_products: of a pass; then the dense solver decides, and `fallback` is True.
        seed: of the start vector.
    Returns:
        Cut. With equal n, operator and seed: the same bits on the same machine and thread count.
    Raises:
        ValueError: fewer than two nodes, a degree that is not positive, tolerance or max_products out of range.
    Source: Lanczos with full reorthogonalisation. Twin: tests/reference/normalized_cut.py (dense eigh).
    """
    degrees = operator.degrees
    n = len(degrees)
    if n < 2:
        raise ValueError(f"operator: a cut needs at least two nodes, got {n}")
    if not (np.isfinite(degrees).all() and (degrees > 0).all()):
        raise ValueError("operator: degrees must be finite and above zero")
    if tolerance <= 0 or max_products < 1:
        raise ValueError(f"tolerance and max_products must be above zero, got {tolerance}, {max_products}")
    products = 0
    start = np.random.default_rng(seed).standard_normal(n)
    for multiply, wanted in ((operator.product, tolerance), (operator.precise_product, min(tolerance, _PRECISE))):
        ritz = _largest(multiply, degrees, start, wanted, max_products)
        products += ritz.products
        if ritz.residual <= wanted and (wanted <= _PRECISE or ritz.gap > _CLUSTERED * max(ritz.residual, _ROUNDING)):
            return _cut(ritz.vector, 1 - ritz.value, ritz.residual, products, False, degrees)
    return _by_dense_solver(operator, products)


def strongest(vector: np.ndarray) -> int:
    """The entry of largest absolute value; of those within 1e-5 of it, the first.

    Nodes with the same neighbours have the same value but for rounding, which must not decide.
    """
    sizes = np.abs(vector)
    return int(np.argmax(sizes >= (1 - _EQUAL) * sizes.max()))


@dataclass(frozen=True)
class _Ritz:
    """An approximate eigenpair: unit vector, value, residual, distance to the next Ritz value, products used."""

    vector: np.ndarray
    value: float
    residual: float
    gap: float
    products: int


def _largest(
    multiply: Callable[[np.ndarray], np.ndarray],
    degrees: np.ndarray,
    start: np.ndarray,
    tolerance: float,
    max_products: int,
) -> _Ritz:
    """Largest eigenpair of D^-1/2 W D^-1/2 across from its known first vector, the root of the degrees."""
    roots = np.sqrt(degrees)
    first = roots / np.linalg.norm(roots)
    n_steps = min(max_products, len(degrees) - 1)
    basis = np.zeros((n_steps + 1, len(degrees)))
    basis[0] = first
    diagonal, beside = np.zeros(n_steps), np.zeros(n_steps)
    vector = _across(start, basis[:1])
    vector /= np.linalg.norm(vector)
    for step in range(n_steps):
        basis[step + 1 : step + 2] = vector
        following = multiply(vector / roots) / roots
        diagonal[step] = vector @ following
        following = _across(following, basis[: step + 2])
        beside[step] = np.linalg.norm(following)
        last = step + 1 == n_steps or beside[step] < 1e-12
        # The small problem costs more than a product from some twenty steps on: looked at every fourth step then.
        if last or (step and (step < 16 or step % 4 == 0)):
            values, vectors = _two_largest(diagonal[: step + 1], beside[:step])
            residual = float(beside[step] * abs(vectors[-1, -1]))
            if last or residual <= tolerance:
                whole = step + 1 == len(degrees) - 1  # then the residual is rounding alone
                gap = np.inf if whole else float(values[-1] - values[0])
                found = vectors[:, -1] @ basis[1 : step + 2]
                return _Ritz(found / np.linalg.norm(found), float(values[-1]), residual, gap, step + 1)
        vector = following / beside[step]
    raise AssertionError("a Lanczos pass has at least one step")


def _two_largest(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Values (2,) ascending and vectors (steps, 2) of a tridiagonal matrix; of one row: (1,), (1, 1)."""
    n = len(diagonal)
    if n == 1:
        return diagonal.copy(), np.ones((1, 1))
    return linalg.eigh_tridiagonal(diagonal, beside, select="i", select_range=(n - 2, n - 1))


def _across(vector: np.ndarray, basis: np.ndarray) -> np.ndarray:
    """What is left of a vector across from a basis; twice, because once leaves rounding along it."""
    for _ in range(2):
        vector = vector - (basis @ vector) @ basis
    return vector


def _by_dense_solver(operator: Dense | TwoValued, products: int) -> Cut:
    weights = operator.dense()
    roots = np.sqrt(operator.degrees)
    weights /= roots[:, None]
    weights /= roots[None]
    n = len(roots)
    first = roots / np.linalg.norm(roots)
    weights -= 2 * np.outer(first, first)  # the first vector, of eigenvalue 1, goes below all others
    values, vectors = linalg.eigh(weights, subset_by_index=[n - 1, n - 1], overwrite_a=False)
    vector = vectors[:, 0]
    residual = float(np.linalg.norm(weights @ vector - values[0] * vector))
    return _cut(vector, 1 - float(values[0]), residual, products, True, operator.degrees)


def _cut(unit: np.ndarray, value: float, residual: float, products: int, fallback: bool, degrees: np.ndarray) -> Cut:
    vector = unit / np.sqrt(degrees)
    if vector[strongest(vector)] < 0:
        vector = -vector
    return Cut(vector=vector, value=max(0.0, value), residual=residual, products=products, fallback=fallback)


def _in_float64(weights: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return np.concatenate([weights[row : row + _ROWS] @ vector for row in range(0, len(weights), _ROWS)])
