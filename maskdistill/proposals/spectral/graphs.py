"""Graphs: patch graphs by their degrees, and products of their weights with a vector.

Paper:    TokenCut, Wang et al., CVPR 2022, for weights of two values
In:       weights (n, n), or which nodes are joined
Out:      Dense or TwoValued, as `normalized_cut` takes them
Differs:  ours: parts of a graph are views of it, nothing is copied; products of float32 weights
          are summed in float64
"""

from __future__ import annotations

import numpy as np

from maskdistill.proposals.spectral import products
from maskdistill.proposals.spectral.bits import Bits


class Dense:
    """Hold a graph by its weights (n, n), symmetric, not negative, in float32.

    Attributes:
        degrees: (nodes,) float64, sums of the weights of each node.
    Raises:
        ValueError: weights of another shape, or a node whose sum is not finite and above zero.
    """

    def __init__(self, weights: np.ndarray, *, nodes: np.ndarray | None = None) -> None:
        """Take the weights; `nodes` are the indices of those in the graph, None: all."""
        if weights.ndim != 2 or weights.shape[0] != weights.shape[1]:
            raise ValueError(f"weights must be (n, n), got {weights.shape}")
        self._weights = np.ascontiguousarray(weights, np.float32)
        self._nodes = np.arange(len(weights)) if nodes is None else nodes
        self.degrees = self.product(np.ones(len(self._nodes)))
        if not (np.isfinite(self.degrees).all() and (self.degrees > 0).all()):
            raise ValueError("weights: every row must have a finite sum above zero")

    def product(self, vector: np.ndarray) -> np.ndarray:
        """Return the weights times a float64 vector (nodes,), summed in float64."""
        whole = np.zeros(len(self._weights))
        whole[self._nodes] = vector
        return products.times(self._weights, whole, self._nodes)

    def dense(self) -> np.ndarray:
        """Return the weights as (nodes, nodes) float64."""
        return self._weights[np.ix_(self._nodes, self._nodes)].astype(np.float64)

    def restrict(self, indices: np.ndarray) -> Dense:
        """Return the graph of some of the nodes alone, by their places among its nodes."""
        return Dense(self._weights, nodes=self._nodes[indices])


class TwoValued:
    """Hold a graph with weight 1 where two nodes are joined and `floor` where not.

    Only the joints A are stored: W = (1 - floor) A + floor 11', so that a product needs A, in bits,
    and a sum.

    Attributes:
        floor: weight of an absent edge, in (0, 1).
        degrees: (nodes,) float64, sums of the weights of each node.
    Raises:
        ValueError: floor out of range.
    """

    def __init__(
        self,
        joined: Bits,
        *,
        floor: float,
        nodes: np.ndarray | None = None,
        bare: np.ndarray | None = None,
    ) -> None:
        """Take the joints of n nodes.

        Args:
            nodes: indices of those in the graph; None: all.
            bare: (n,) bool, nodes whose joints do not count; None: no such.
        """
        if not 0 < floor < 1:
            raise ValueError(f"floor must be in (0, 1), got {floor}")
        self._joined = joined
        self.floor = floor
        self._nodes = np.arange(self._joined.n) if nodes is None else nodes
        self._bare = bare
        self.degrees = self.product(np.ones(len(self._nodes)))

    def product(self, vector: np.ndarray) -> np.ndarray:
        """Return the weights times a float64 vector (nodes,), summed in float64."""
        whole = np.zeros(self._joined.n)
        whole[self._nodes] = vector
        if self._bare is not None:
            whole[self._bare] = 0
        sums = self._joined.product(whole)
        if self._bare is not None:
            sums[self._bare] = 0
        return (1 - self.floor) * sums[self._nodes] + self.floor * vector.sum()

    def dense(self) -> np.ndarray:
        """Return the weights as (nodes, nodes) float64."""
        joined = self._joined.entries()
        if self._bare is not None:
            joined &= ~(self._bare[:, None] | self._bare[None])
        return (1 - self.floor) * joined[np.ix_(self._nodes, self._nodes)] + self.floor

    def restrict(self, indices: np.ndarray) -> TwoValued:
        """Return the graph of some of the nodes alone, by their places among its nodes."""
        return TwoValued(
            self._joined, floor=self.floor, nodes=self._nodes[indices], bare=self._bare
        )

    def stripped(self, nodes: np.ndarray) -> TwoValued:
        """Return the graph with some nodes joined to nothing, not to themselves either.

        Args:
            nodes: (n,) bool over all nodes that the joints are of.
        """
        bare = nodes if self._bare is None else nodes | self._bare
        return TwoValued(self._joined, floor=self.floor, nodes=self._nodes, bare=bare)
