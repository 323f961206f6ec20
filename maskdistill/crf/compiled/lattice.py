"""The permutohedral lattice of some points: the lattice points that each touches, numbered.

Paper:    Adams, Baek, Davis, Eurographics 2010, Sec. 3; as a CRF's filter: Kraehenbuehl and Koltun,
          NIPS 2011
In:       features (d, points) float32, each already divided by its deviation
Out:      packed keys, barycentric weights, lattice points numbered as they were first touched
Differs:  nothing; by hand, as the whole filter: lanes.py says why
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from maskdistill.crf.compiled.lanes import OPTIONS, fetch_line
from maskdistill.numba_jit import compiled

# Points that are embedded together: loops over them compile to vectors, 300 to 150 ms a picture
# (docs/log/crf.md, "the time of the building").
BLOCK = 64
_FREE = -1  # no key is negative
_KEYS = 2**62  # a lattice point's coordinates are packed into one int64
_PLACE_AND_COLOUR = 5  # features whose keys are never drawn, so that no two points share one
_WHOLE = 2**24  # steps of the lattice beyond which float32 has no whole numbers


class Packing(NamedTuple):
    """Hold how coordinates become keys, so that a neighbour's key is the key plus a constant.

    Attributes:
        scales: (d,) float32, factors of the features.
        lowest: (d,) int64, least coordinates.
        strides: (d,) int64, of the coordinates; the last coordinate is minus the sum of the others.
    """

    scales: np.ndarray
    lowest: np.ndarray
    strides: np.ndarray

    def step(self, axis: int) -> int:
        """Return the difference of the keys of neighbours on an axis.

        One more in each coordinate, d less in that of the axis.
        """
        d = len(self.scales)
        return int(self.strides.sum() - (self.strides[axis] * (d + 1) if axis < d else 0))


class Table(NamedTuple):
    """Hold a hash table of keys, numbered from 0 in the order of their first appearance.

    Attributes:
        table: (2 << bits,) int64: key and number of each slot, side by side in one cache line.
        bits: of the number of slots.
        found: (n,) int64, the keys by number.
    """

    table: np.ndarray
    bits: int
    found: np.ndarray


def packing(low: np.ndarray, high: np.ndarray) -> Packing:
    """Return the packing for features within bounds, with room for neighbours.

    Args:
        low: (d,) float32, least value of each feature.
        high: (d,) float32, largest.
    Returns:
        Strides that number every lattice point in the bounds; of more than 5 features that spread
        over more points than 62 bits can number, strides that are drawn, always the same for the
        same bounds: two points share a key with a chance of one in 2^45 or less, up to 100
        features of 1000 steps.
    Raises:
        ValueError: at most 5 features spread over more of the lattice than 62 bits can number, or
            one of more over 2^24 steps: a deviation is too small.
    """
    d = len(low)
    scales = (np.sqrt(2 / 3) * (d + 1) / np.sqrt(np.arange(1, d + 1) * np.arange(2, d + 2))).astype(
        np.float32
    )
    low, high = low.astype(np.float64) * scales, high.astype(np.float64) * scales
    lowest, extents = np.empty(d, np.int64), []
    strides, stride = np.empty(d, np.int64), 1
    for axis in range(d):
        # Coordinate i of a point is the sum of the scaled features from i on, less i times the one
        # before.
        least = low[axis:].sum() - axis * (high[axis - 1] if axis else 0.0)
        most = high[axis:].sum() - axis * (low[axis - 1] if axis else 0.0)
        # One cell for rounding, one for the other vertices of the simplex, two for neighbours and
        # theirs.
        least, most = np.floor(least) - 4 * (d + 1), np.ceil(most) + 4 * (d + 1)
        extents.append(int(most) - int(least) + 1)
        strides[axis] = stride if stride < _KEYS else 0
        stride *= extents[axis]
        if stride >= _KEYS and (d <= _PLACE_AND_COLOUR or extents[axis] > _WHOLE):
            raise ValueError(
                f"features spread over {extents} steps of the lattice, more than fit in 62 bits: "
                "the deviations are too small for this picture"
            )
        lowest[axis] = int(least)
    if stride >= _KEYS:
        strides = np.random.default_rng(0).integers(1, _KEYS // sum(extents), d)
    return Packing(scales, lowest, strides)


@compiled(**OPTIONS)
def bounds(features):  # type: ignore[no-untyped-def]
    """Return the least and largest of each feature, (2, d) float32."""
    out = np.empty((2, len(features)), np.float32)
    for axis in range(len(features)):
        least = most = features[axis, 0]
        for point in range(features.shape[1]):
            least = min(least, features[axis, point])
            most = max(most, features[axis, point])
        out[0, axis], out[1, axis] = least, most
    return out


def number(
    features: np.ndarray,
    packed: Packing,
    column: int,
    vertices: np.ndarray,
    weights: np.ndarray,
    lo: int,
    hi: int,
) -> Table:
    """Embed the points lo to hi and number the lattice points that they touch.

    Args:
        features: (d, points) float32 in units of the deviations.
        packed: for these features.
        column: the first of the d + 1 columns of `vertices` and `weights` that are written.
        vertices: (points, n) uint32, numbers of the Table.
        weights: (points, n) float32, barycentric.
        lo: first point.
        hi: behind the last.
    """
    # At most half of the slots are taken, so that a key is found in a step or two: room for one to
    # two keys a point at first; a table that fills up is made anew, twice as large.
    bits = max(12, int(hi - lo).bit_length() + 1)
    table = np.full(2 << bits, _FREE, np.int64)
    found = np.empty(1 << (bits - 1), np.int64)
    count, at = 0, lo
    while True:
        at, count = embed(
            features, *packed, column, vertices, weights, table, bits, found, count, at, hi
        )
        if at == hi:
            return Table(table, bits, found[:count])
        bits += 1
        table = np.full(2 << bits, _FREE, np.int64)
        longer = np.empty(1 << (bits - 1), np.int64)
        longer[:count] = found[:count]
        found = longer
        fill_table(table, bits, found, count)


@compiled(**OPTIONS)
def embed(  # type: ignore[no-untyped-def]
    features, scales, lowest, strides, column, vertices, weights, table, bits, found, count, lo, hi
):
    """Find the simplices of the points lo to hi, block by block, until the table is half full.

    Returns:
        (next point, keys found).
    """
    d = len(features)
    down, whole = np.float32(1.0 / (d + 1)), strides.sum()
    # Coordinates on the lattice's hyperplane, then less the base's.
    raised = np.empty((d + 1, BLOCK), np.float32)
    total = np.empty(BLOCK, np.float32)
    base = np.empty((d + 1, BLOCK), np.int32)
    excess = np.empty(BLOCK, np.int32)
    rank = np.empty((d + 1, BLOCK), np.int32)
    share = np.empty((d + 2, BLOCK), np.float32)
    keys = np.empty((BLOCK, d + 1), np.int64)
    last = np.full(d + 1, _FREE, np.int64)
    same = np.zeros(d + 1, np.uint32)
    for first in range(lo, hi, BLOCK):
        if count + BLOCK * (d + 1) > len(found):
            return first, count
        n = min(BLOCK, hi - first)
        total[:] = 0
        excess[:] = 0
        for axis in range(d, 0, -1):
            scale, times = scales[axis - 1], np.float32(axis)
            for b in range(n):
                part = features[axis - 1, first + b] * scale
                raised[axis, b] = total[b] - times * part
                total[b] += part
        raised[0, :] = total
        for axis in range(d + 1):
            for b in range(n):
                cell = np.rint(raised[axis, b] * down)  # half to even, as the published filter
                excess[b] += np.int32(cell)
                base[axis, b] = np.int32(cell) * np.int32(d + 1)
                raised[axis, b] -= cell * np.float32(d + 1)
        for axis in range(d + 1):
            rank[axis, :] = excess
            for other in range(d + 1):
                if other < axis:
                    for b in range(n):
                        rank[axis, b] += np.int32(raised[axis, b] <= raised[other, b])
                elif other > axis:
                    for b in range(n):
                        rank[axis, b] += np.int32(raised[axis, b] < raised[other, b])
        for axis in range(d + 1):
            for b in range(n):
                turn = np.int32(d + 1) * (np.int32(rank[axis, b] < 0) - np.int32(rank[axis, b] > d))
                rank[axis, b] += turn
                base[axis, b] += turn
                raised[axis, b] -= np.float32(turn)
        share[:] = 0
        for axis in range(d + 1):
            for vertex in range(d + 1):
                for b in range(n):
                    rest = (
                        raised[axis, b] * down if rank[axis, b] == d - vertex else np.float32(0.0)
                    )
                    share[vertex, b] += rest
                    share[vertex + 1, b] -= rest
        for b in range(n):
            share[0, b] += np.float32(1.0) + share[d + 1, b]
            key = np.int64(0)
            for axis in range(d):
                key += (np.int64(base[axis, b]) - lowest[axis]) * strides[axis]
            # Vertex k is vertex 0 plus k on every axis, less d + 1 where the rank is above d - k.
            for vertex in range(d + 1):
                keys[b, vertex] = key
                key += whole
            for axis in range(d):
                for vertex in range(d - rank[axis, b] + 1, d + 1):
                    keys[b, vertex] -= (d + 1) * strides[axis]
        for b in range(n):
            for vertex in range(d + 1):
                fetch_line(table, 2 * slot_of(keys[b, vertex], bits))
        for b in range(n):
            for vertex in range(d + 1):
                weights[first + b, column + vertex] = share[vertex, b]
                key = keys[b, vertex]
                if last[vertex] != key:  # pixels next to each other often share a simplex
                    last[vertex] = key
                    slot = find(table, key, bits)
                    if table[2 * slot] == _FREE:
                        table[2 * slot] = key
                        table[2 * slot + 1] = count
                        found[count] = key
                        count += 1
                    same[vertex] = table[2 * slot + 1]
                vertices[first + b, column + vertex] = same[vertex]
    return hi, count


@compiled(**OPTIONS, inline="always")
def slot_of(key, bits):  # type: ignore[no-untyped-def]
    """Return where a key belongs: the high bits of its product with 2^64 over the golden ratio."""
    return np.int64((np.uint64(key) * np.uint64(11400714819323198485)) >> np.uint64(64 - bits))


@compiled(**OPTIONS, inline="always")
def find(table, key, bits):  # type: ignore[no-untyped-def]
    """Return the slot that holds a key, or the free one where it would go."""
    slot = slot_of(key, bits)
    while table[2 * slot] != key and table[2 * slot] != _FREE:
        slot = (slot + 1) & ((1 << bits) - 1)
    return slot


@compiled(**OPTIONS)
def fill_table(table, bits, found, count):  # type: ignore[no-untyped-def]
    """Put keys with their numbers into an empty table."""
    for at in range(count):
        slot = find(table, found[at], bits)
        table[2 * slot] = found[at]
        table[2 * slot + 1] = at
