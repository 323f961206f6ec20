"""Lattice points in the order of their keys: all threads' in one list, neighbours, entries.

In:       keys and numbers of each thread's Table
Out:      sorted keys, neighbours on an axis, and for each lattice point the points that touch it
Differs:  neighbours are found by merging the sorted keys with themselves, shifted; the published
          lattice asks its hash table for each
"""

from __future__ import annotations

import numpy as np

from maskdistill.crf.compiled.lanes import OPTIONS, fetch_line
from maskdistill.crf.compiled.lattice import find, slot_of
from maskdistill.numba_jit import compiled

# Keys and points whose slots and entries are asked for before they are looked at: with the
# normalisation in one pass 150 to 110 ms a picture (docs/log/crf.md, "the time of the building");
# more or fewer were not measured alone.
_AHEAD = 16


@compiled(**OPTIONS)
def place(keys, own, table, bits, first):  # type: ignore[no-untyped-def]
    """Return the place of each of a Table's keys among all sorted keys, counted from `first`.

    Args:
        keys: of all tables, sorted, distinct.
        own: the Table's keys, sorted.
        table: its slots.
        bits: of their number.
    Returns:
        (numbers of the Table,) uint32.
    """
    out = np.empty(len(own), np.uint32)
    at = 0
    for index in range(len(own)):
        if index + _AHEAD < len(own):
            fetch_line(table, 2 * slot_of(own[index + _AHEAD], bits))
        while keys[at] < own[index]:
            at += 1
        out[table[2 * find(table, own[index], bits) + 1]] = first + at
    return out


@compiled(**OPTIONS)
def union(one, other):  # type: ignore[no-untyped-def]
    """Return two sorted lists of distinct keys as one."""
    out = np.empty(len(one) + len(other), np.int64)
    i = j = count = 0
    while i < len(one) and j < len(other):
        a, b = one[i], other[j]
        out[count] = min(a, b)
        count += 1
        i += a <= b
        j += b <= a
    for rest in range(i, len(one)):
        out[count] = one[rest]
        count += 1
    for rest in range(j, len(other)):
        out[count] = other[rest]
        count += 1
    return out[:count].copy()


@compiled(**OPTIONS)
def neighbours(keys, step, first, before, after):  # type: ignore[no-untyped-def]
    """Write where key - step and key + step stand among the sorted keys, from `first`.

    Args:
        before: (keys,) uint32, place of key - step; 0 if it is none of the keys.
        after: (keys,) uint32, place of key + step.
    """
    if step < 0:
        before, after, step = after, before, -step
    size = len(keys)
    at = other = 0
    # Written without branches: which list goes on cannot be foreseen.
    while at < size and other < size:
        wanted, found = keys[at] + step, keys[other]
        same = np.uint32(wanted == found)
        after[at] = same * np.uint32(first + other)
        before[other] = same * np.uint32(first + at)
        at += np.int64(wanted <= found)
        other += np.int64(found <= wanted)
    after[at:] = 0
    before[other:] = 0


@compiled(**OPTIONS)
def renumber(vertices, column, width, places, counts, lo, hi):  # type: ignore[no-untyped-def]
    """Turn numbers of a Table into places in the order of keys; count how often each occurs.

    Args:
        vertices: (points, n) uint32, changed in `width` columns from `column` on, rows lo to hi.
        places: (numbers of the Table,) uint32.
        counts: (lattice points,) int64, added to.
    """
    for point in range(lo, hi):
        for vertex in range(column, column + width):
            at = places[vertices[point, vertex]]
            vertices[point, vertex] = at
            counts[at] += 1


@compiled(**OPTIONS)
def starts_of(counts, starts, total, lo, hi):  # type: ignore[no-untyped-def]
    """Write where the entries of the lattice points lo to hi end, the first beginning at `total`.

    Args:
        counts: (threads, lattice points) int64, becomes where each thread's entries begin.
        starts: (lattice points,) int64.
    """
    for row in range(lo, hi):
        for rank in range(counts.shape[0]):
            n = counts[rank, row]
            counts[rank, row] = total
            total += n
        starts[row] = total


@compiled(**OPTIONS)
def fill(vertices, weights, width, begins, points, shares, lo, hi):  # type: ignore[no-untyped-def]
    """Turn the vertices round: write the points that touch each lattice point, and their weights.

    Args:
        vertices: (points, n) uint32, places of lattice points.
        weights: (points, n) float32.
        width: columns that are used.
        begins: (lattice points,) int64, where this thread's next entry goes; counted up.
        points: (2 * entries,) uint32, the point of an entry, in the even places.
        shares: the same memory as float32, its weight, in the odd places.
    """
    for point in range(lo, hi):
        if point + _AHEAD < hi:
            for vertex in range(width):
                fetch_line(begins, np.int64(vertices[point + _AHEAD, vertex]))
        if point + _AHEAD // 2 < hi:
            for vertex in range(width):
                fetch_line(points, 2 * np.int64(begins[vertices[point + _AHEAD // 2, vertex]]))
        for vertex in range(width):
            row = vertices[point, vertex]
            entry = begins[row]
            begins[row] = entry + 1
            points[2 * entry] = point
            shares[2 * entry + 1] = weights[point, vertex]
