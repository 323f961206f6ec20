"""The permutohedral lattice: Gaussian filtering of scattered points at a cost linear in their number.

Paper:    Adams, Baek, Davis, Eurographics 2010, Sec. 3; as a CRF's filter: Kraehenbuehl and Koltun, NIPS 2011
In:       features (points, d), each already divided by its deviation
Out:      Lattice: which d + 1 lattice points a point touches, with which weights, and the neighbours on each axis
Differs:  lattice points are sorted by key, and neighbours found by merging the sorted keys with themselves, shifted
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

_KEYS = 2**62  # a lattice point's coordinates are packed into one int64


@dataclass(frozen=True)
class Lattice:
    """A lattice over some points; absent neighbours and unused vertices have the index `size`, a row of zeros.

    Attributes:
        size: number of lattice points that some point touches.
        vertices: (points, d + 1) uint32, lattice points around each point.
        weights: (points, d + 1) float32, barycentric, each row sums to 1.
        neighbours: (d + 1, 2, size) uint32, the points before and after on each axis.
    """

    size: int
    vertices: np.ndarray
    weights: np.ndarray
    neighbours: np.ndarray

    @property
    def scale(self) -> float:
        """Factor of the published filter's output; it cancels under symmetric normalisation."""
        return 1.0 / (1.0 + 2.0 ** -(len(self.neighbours) - 1))


def build(features: np.ndarray) -> Lattice:
    """The lattice around the points.

    Args:
        features: (points, d) float32, finite, in units of the kernel's deviation; at least one point.
    Returns:
        the Lattice; equal features give equal bytes.
    Raises:
        ValueError: the points spread over more of the lattice than 62 bits can number: a deviation is too small.
    """
    n_points, d = features.shape
    scales = (np.sqrt(2 / 3) * (d + 1) / np.sqrt(np.arange(1, d + 1) * np.arange(2, d + 2))).astype(np.float32)
    lowest, strides = _packing(features, scales)
    keys = np.empty((n_points, d + 1), np.int64)
    weights = np.empty((n_points, d + 1), np.float32)
    embed(features, scales, lowest, strides, keys, weights)
    vertices = np.empty((n_points, d + 1), np.uint32)
    found = unique_keys(keys, vertices)
    order = np.argsort(found, kind="stable")
    place = np.empty(len(found), np.uint32)
    place[order] = np.arange(len(found), dtype=np.uint32)
    renumber(vertices, place)
    found = found[order]
    neighbours = np.empty((d + 1, 2, len(found)), np.uint32)
    for axis in range(d + 1):
        step = strides.sum() - (strides[axis] * (d + 1) if axis < d else 0)
        merge(found, step, neighbours[axis, 0], neighbours[axis, 1])
    return Lattice(len(found), vertices, weights, neighbours)


def _packing(features: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lowest coordinate and stride of each of the first d coordinates, with room for the neighbours."""
    d = len(scales)
    low = features.min(axis=0).astype(np.float64) * scales
    high = features.max(axis=0).astype(np.float64) * scales
    lowest, extents = np.empty(d, np.int64), []
    for axis in range(d):
        # Coordinate i of a point is the sum of the scaled features from i on, less i times the one before.
        least = low[axis:].sum() - axis * (high[axis - 1] if axis else 0.0)
        most = high[axis:].sum() - axis * (low[axis - 1] if axis else 0.0)
        # One cell for rounding to the nearest vertex, one for the others of the simplex, one for neighbours.
        lowest[axis] = int(np.floor(least)) - 3 * (d + 1)
        extents.append(int(np.ceil(most)) + 3 * (d + 1) - int(lowest[axis]) + 1)
    strides, stride = np.empty(d, np.int64), 1
    for axis in range(d):
        strides[axis] = stride
        stride *= extents[axis]
        if stride >= _KEYS:
            raise ValueError(
                f"features spread over {extents} steps of the lattice, more than fit in 62 bits: "
                "the deviations are too small for this picture"
            )
    return lowest, strides


@njit(cache=True, nogil=True, error_model="numpy")
def embed(features, scales, lowest, strides, keys, weights):  # type: ignore[no-untyped-def]
    """Packed keys and barycentric weights of the simplex around each point."""
    n_points, d = features.shape
    elevated = np.empty(d + 1, np.float32)
    base = np.empty(d + 1, np.int64)
    rank = np.empty(d + 1, np.int64)
    share = np.empty(d + 2, np.float32)
    down = np.float32(1.0 / (d + 1))
    whole = strides.sum()
    for point in range(n_points):
        total = np.float32(0.0)
        for axis in range(d, 0, -1):
            part = features[point, axis - 1] * scales[axis - 1]
            elevated[axis] = total - np.float32(axis) * part
            total += part
        elevated[0] = total
        excess = np.int64(0)
        for axis in range(d + 1):
            cell = np.int64(np.rint(elevated[axis] * down))  # half to even, as the published filter
            excess += cell
            base[axis] = cell * (d + 1)
            rank[axis] = 0
        for axis in range(d):
            rest = elevated[axis] - np.float32(base[axis])
            for other in range(axis + 1, d + 1):
                if rest < elevated[other] - np.float32(base[other]):
                    rank[axis] += 1
                else:
                    rank[other] += 1
        share[:] = 0
        key = np.int64(0)
        for axis in range(d + 1):
            rank[axis] += excess
            if rank[axis] < 0:
                rank[axis] += d + 1
                base[axis] += d + 1
            elif rank[axis] > d:
                rank[axis] -= d + 1
                base[axis] -= d + 1
            rest = (elevated[axis] - np.float32(base[axis])) * down
            share[d - rank[axis]] += rest
            share[d + 1 - rank[axis]] -= rest
            if axis < d:
                key += (base[axis] - lowest[axis]) * strides[axis]
        share[0] += np.float32(1.0) + share[d + 1]
        # Vertex k is vertex 0 plus k on every axis, less d + 1 where the rank is above d - k.
        for vertex in range(d + 1):
            keys[point, vertex] = key
            weights[point, vertex] = share[vertex]
            key += whole
            for axis in range(d):
                if rank[axis] == d - vertex:
                    key -= (d + 1) * strides[axis]


@njit(cache=True, nogil=True, error_model="numpy")
def unique_keys(keys, vertices):  # type: ignore[no-untyped-def]
    """Distinct keys in the order of their first appearance; `vertices` gets each key's number."""
    bits = 12
    slots = np.full(1 << bits, -1, np.int64)
    numbers = np.empty(1 << bits, np.uint32)
    found = np.empty(1 << (bits - 1), np.int64)
    count = 0
    n_points, width = keys.shape
    for point in range(n_points):
        for vertex in range(width):
            key = keys[point, vertex]
            if point > 0 and keys[point - 1, vertex] == key:  # neighbours in the picture often share a simplex
                vertices[point, vertex] = vertices[point - 1, vertex]
                continue
            slot = _slot(key, bits)
            while slots[slot] != key and slots[slot] != -1:
                slot = (slot + 1) & ((1 << bits) - 1)
            if slots[slot] == -1:
                if count == len(found):
                    bits += 2
                    found = _grown(found, 1 << (bits - 1))
                    slots, numbers = _rehashed(found, count, bits)
                    slot = _slot(key, bits)
                    while slots[slot] != -1:
                        slot = (slot + 1) & ((1 << bits) - 1)
                slots[slot] = key
                numbers[slot] = count
                found[count] = key
                count += 1
            vertices[point, vertex] = numbers[slot]
    return found[:count].copy()


@njit(cache=True, nogil=True, inline="always")
def _slot(key, bits):  # type: ignore[no-untyped-def]
    # Fibonacci hashing: the high bits of the product with 2^64 over the golden ratio.
    return np.int64((np.uint64(key) * np.uint64(11400714819323198485)) >> np.uint64(64 - bits))


@njit(cache=True, nogil=True)
def _grown(found, length):  # type: ignore[no-untyped-def]
    longer = np.empty(length, np.int64)
    longer[: len(found)] = found
    return longer


@njit(cache=True, nogil=True)
def _rehashed(found, count, bits):  # type: ignore[no-untyped-def]
    slots = np.full(1 << bits, -1, np.int64)
    numbers = np.empty(1 << bits, np.uint32)
    for number in range(count):
        slot = _slot(found[number], bits)
        while slots[slot] != -1:
            slot = (slot + 1) & ((1 << bits) - 1)
        slots[slot] = found[number]
        numbers[slot] = number
    return slots, numbers


@njit(cache=True, nogil=True)
def renumber(vertices, place):  # type: ignore[no-untyped-def]
    """Old numbers of lattice points to new ones, in place."""
    flat = vertices.ravel()
    for entry in range(len(flat)):
        flat[entry] = place[flat[entry]]


@njit(cache=True, nogil=True)
def merge(keys, step, before, after):  # type: ignore[no-untyped-def]
    """Neighbours of sorted keys: where key - step and key + step stand, or the number of keys if they do not."""
    size = len(keys)
    before[:] = size
    after[:] = size
    other = 0
    if step < 0:
        before, after, step = after, before, -step
    for point in range(size):
        wanted = keys[point] + step
        while other < size and keys[other] < wanted:
            other += 1
        if other == size:
            break
        if keys[other] == wanted:
            after[point] = other
            before[other] = point


@njit(cache=True, nogil=True)
def by_lattice_point(vertices, weights, size, starts, points, shares):  # type: ignore[no-untyped-def]
    """The vertices turned round: which points touch each lattice point, and with which weight."""
    starts[:] = 0
    n_points, width = vertices.shape
    for point in range(n_points):
        for vertex in range(width):
            starts[vertices[point, vertex] + np.uint32(1)] += 1
    for row in range(size):
        starts[row + 1] += starts[row]
    ends = starts[:size].copy()
    for point in range(n_points):
        for vertex in range(width):
            row = vertices[point, vertex]
            entry = ends[row]
            points[entry] = point
            shares[entry] = weights[point, vertex]
            ends[row] += 1


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract", "reassoc", "nsz"})
def apply(vertices, weights, neighbours, size, signal):  # type: ignore[no-untyped-def]
    """Splat, blur and slice of one number a point."""
    n_points, width = vertices.shape
    values, other = np.zeros(size + 1, np.float32), np.zeros(size + 1, np.float32)
    for point in range(n_points):
        for vertex in range(width):
            values[vertices[point, vertex]] += weights[point, vertex] * signal[point]
    for axis in range(width):
        before, after = neighbours[axis, 0], neighbours[axis, 1]
        for row in range(size):
            other[row] = values[row] + np.float32(0.5) * (values[before[row]] + values[after[row]])
        values, other = other, values
    out = np.empty(n_points, np.float32)
    for point in range(n_points):
        total = np.float32(0.0)
        for vertex in range(width):
            total += weights[point, vertex] * values[vertices[point, vertex]]
        out[point] = total
    return out
