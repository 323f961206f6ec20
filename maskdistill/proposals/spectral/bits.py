"""Bits: a symmetric matrix of zeros and ones, eight rows to a byte, with products from tables.

Paper:    none; sums of all subsets of eight values are the method of four Russians (Arlazarov et
          al., 1970)
In:       unit keys (n, width) float32 and a threshold
Out:      Bits, which multiplies vectors; a 32nd of float32's memory
Differs:  ours; docs/log/proposals.md has what each part gained
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch.nn import functional

from maskdistill.numba_jit import compiled

# Of a block of inner products, so that it stays in the cache until it is packed: 74 ms at 3600
# patches, with 128, 512 and 1024 rows 84, 74 and 80 (docs/log/proposals.md, 2026-11-25).
_ROWS = 256
# Of a cosine: bfloat16 inputs are off by 2^-8 of it together, its output by 2^-11 of one below
# 0.25.
_COARSE = 0.0045
_SURE = 0.24  # thresholds up to which that bound of the output holds


class Bits:
    """Hold a symmetric (n, n) matrix of zeros and ones.

    Attributes:
        packed: (n_bytes, 8 * n_bytes) uint8; bit r of byte [b, column] is the entry of row 8 b + r.
            n_bytes is n / 8 rounded up to a multiple of four; bits beyond n are 0.
        n: rows.
    """

    def __init__(self, packed: np.ndarray, n: int) -> None:
        """Take the packed bits as they are."""
        self.packed, self.n = packed, n

    @classmethod
    def of_cosines(
        cls, unit: np.ndarray, threshold: float, *, bfloat16: bool | None = None
    ) -> Bits:
        """Return the matrix with 1 where the inner product of two rows exceeds the threshold.

        Args:
            unit: (n, width) float32, rows of length 1 or 0.
            threshold: in [-1, 1].
            bfloat16: multiply in bfloat16 first, and again in float32 the pairs that are nearer to
                the threshold than bfloat16 is exact; None: where the processor has instructions for
                it. The bits are the same.
        Twin: tests/reference/bits.py.

        >>> rows = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)
        >>> Bits.of_cosines(rows, 0.7).entries().astype(int)
        array([[1, 0, 0],
               [0, 1, 1],
               [0, 1, 1]])
        """
        n = len(unit)
        packed = _empty(n)
        coarse = _has_bfloat16() if bfloat16 is None else bfloat16
        if coarse and abs(threshold) <= _SURE:
            _fill_coarsely(packed, unit, threshold)
        else:
            # One for all blocks: fresh memory costs page faults.
            buffer = np.empty(min(_ROWS, n) * n, np.float32)
            for first in range(0, n, _ROWS):
                rows, rest = unit[first : first + _ROWS], unit[first:]
                block = buffer[: len(rows) * len(rest)].reshape(len(rows), len(rest))
                np.matmul(rows, rest.T, out=block)
                _pack(block, np.float32(threshold), first, packed)
        _mirror(packed)
        return cls(packed, n)

    @classmethod
    def of_device(cls, unit: torch.Tensor, threshold: float) -> Bits:
        """Return what `of_cosines` does of rows on a GPU, where they are multiplied and packed.

        The bits alone are fetched.
        """
        n = len(unit)
        rows_in_bytes = functional.pad(unit, (0, 0, 0, -n % 32))
        place = (1 << torch.arange(8, device=unit.device, dtype=torch.int32)).to(torch.uint8)[
            None, :, None
        ]
        blocks = [
            ((some @ rows_in_bytes.T > threshold).unflatten(0, (-1, 8)) * place).sum(
                dim=1, dtype=torch.uint8
            )
            for some in rows_in_bytes.split(8 * _ROWS)
        ]
        packed = torch.cat(blocks).cpu().numpy()
        packed[:, n:] = 0  # rows of zeros exceed a threshold below zero
        _mirror(packed)
        packed[:, n:] = 0
        return cls(packed, n)

    def product(self, vector: np.ndarray) -> np.ndarray:
        """Return the matrix times a float64 vector (n,), summed in float64."""
        out = np.empty(self.packed.shape[1])
        _multiply(self.packed, np.ascontiguousarray(vector, np.float64), out)
        return out[: self.n]

    def entries(self) -> np.ndarray:
        """Return the matrix as (n, n) bool."""
        rows = np.unpackbits(self.packed, axis=0, bitorder="little")
        return rows[: self.n, : self.n].astype(bool)


def _empty(n: int) -> np.ndarray:
    """Return the bytes of an (n, n) matrix of zeros."""
    n_bytes = -(-n // 32) * 4
    return np.zeros((n_bytes, 8 * n_bytes), np.uint8)


@functools.cache
def _has_bfloat16() -> bool:
    """Return whether the processor multiplies in bfloat16 (AMX, AVX-512 BF16).

    Elsewhere bfloat16 is slower than float32.
    """
    names = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(known() for name in names if (known := getattr(torch.cpu, name, None)))


def _fill_coarsely(packed: np.ndarray, unit: np.ndarray, threshold: float) -> None:
    """Set the bits above the diagonal by products in bfloat16, near the threshold in float32."""
    low = torch.from_numpy(unit).to(torch.bfloat16)
    buffer = torch.empty(min(_ROWS, len(low)) * len(low), dtype=torch.bfloat16)
    places = _place(threshold - _COARSE), _place(threshold), _place(threshold + _COARSE)
    with torch.inference_mode():
        for first in range(0, len(low), _ROWS):
            rows, rest = low[first : first + _ROWS], low[first:]
            block = buffer[: len(rows) * len(rest)].view(len(rows), len(rest))
            torch.mm(rows, rest.T, out=block)
            _pack_coarse(
                block.view(torch.int16).numpy(), unit, np.float32(threshold), *places, first, packed
            )


def _place(value: float) -> np.int16:
    """Return the place of the largest bfloat16 not above a value, a number that orders them all."""
    bits = int(np.float32(value).view(np.int32))
    high = bits >> 16
    place = high ^ ((high >> 15) & 0x7FFF)
    return np.int16(place - (bits < 0 and bits & 0xFFFF > 0))


@compiled()
def _pack(block: np.ndarray, threshold: np.float32, first: int, packed: np.ndarray) -> None:
    """Set the bits of rows `first`.. and columns `first`.. where `block` exceeds the threshold."""
    for byte in range((len(block) + 7) // 8):
        out = packed[first // 8 + byte, first:]
        for row in range(8 * byte, min(8 * byte + 8, len(block))):
            line, bit = block[row], np.uint8(1 << (row % 8))
            for column in range(block.shape[1]):
                out[column] |= bit if line[column] > threshold else np.uint8(0)


@compiled()
def _pack_coarse(
    block: np.ndarray,
    unit: np.ndarray,
    threshold: np.float32,
    below: np.int16,
    middle: np.int16,
    above: np.int16,
    first: int,
    packed: np.ndarray,
) -> None:
    """Set bits as `_pack` does, of bfloat16 given by its 16 bits.

    Products between the places `below` and `above` are computed anew in float32. Places are
    compared, 32 at once, where numbers would first have to become float32.
    """
    places = np.empty(block.shape[1], np.int16)
    for row in range(len(block)):
        out, bit = packed[(first + row) // 8, first:], np.uint8(1 << (row % 8))
        line = block[row]
        for column in range(len(line)):  # the bits of a negative number fall as it rises
            places[column] = line[column] ^ ((line[column] >> np.int16(15)) & np.int16(0x7FFF))
        for column in range(len(line)):
            out[column] |= bit if places[column] > middle else np.uint8(0)
        for start in range(0, len(line), 64):
            some = places[start : start + 64]
            near = np.uint8(0)
            for column in range(len(some)):
                near |= np.uint8((some[column] >= below) & (some[column] <= above))
            if near:
                for column in range(start, start + len(some)):
                    if below <= places[column] <= above:
                        sure = _inner(unit[first + row], unit[first + column]) > threshold
                        out[column] = (out[column] & ~bit) | (bit if sure else np.uint8(0))


@compiled(fastmath={"reassoc", "contract"})
def _inner(one: np.ndarray, other: np.ndarray) -> np.float32:
    """Return the inner product of two rows in float32."""
    total = np.float32(0)
    for place in range(len(one)):
        total += one[place] * other[place]
    return total


@compiled()
def _mirror(packed: np.ndarray) -> None:
    """Fill the entries below the diagonal from those above it, 8 x 8 at a time."""
    n_bytes = len(packed)
    above = np.uint64(0)
    for column in range(8):
        for row in range(column + 1):
            above |= np.uint64(1) << np.uint64(8 * column + row)
    for byte in range(n_bytes):
        for other in range(byte, n_bytes):
            tile = np.uint64(0)
            for column in range(8):
                tile |= np.uint64(packed[byte, 8 * other + column]) << np.uint64(8 * column)
            if other == byte:
                tile &= above
            turned = _transposed(tile)
            if other == byte:
                turned |= tile
            for column in range(8):
                packed[other, 8 * byte + column] = (turned >> np.uint64(8 * column)) & np.uint64(
                    255
                )


@compiled()
def _transposed(tile: np.uint64) -> np.uint64:
    """Return the 8 x 8 bits of a word transposed (Warren, Hacker's Delight, Sec. 7-3)."""
    swap = (tile ^ (tile >> np.uint64(7))) & np.uint64(0x00AA00AA00AA00AA)
    tile = tile ^ swap ^ (swap << np.uint64(7))
    swap = (tile ^ (tile >> np.uint64(14))) & np.uint64(0x0000CCCC0000CCCC)
    tile = tile ^ swap ^ (swap << np.uint64(14))
    swap = (tile ^ (tile >> np.uint64(28))) & np.uint64(0x00000000F0F0F0F0)
    return tile ^ swap ^ (swap << np.uint64(28))


@compiled()
def _multiply(packed: np.ndarray, vector: np.ndarray, out: np.ndarray) -> None:
    """Write the matrix times a vector to `out`, from tables of the 256 sums of eight values.

    The tables are made once for all rows. The matrix is its own transpose: byte [b, i] says which
    of the values 8 b.. belong to row i.
    """
    tables = np.empty((4, 256))
    out[:] = 0.0
    for byte in range(0, len(packed), 4):  # four tables: 8 KiB, in the first cache
        for number in range(4):
            table = tables[number]
            table[0] = 0.0
            for bit in range(8):
                place = 8 * (byte + number) + bit
                value = vector[place] if place < len(vector) else 0.0
                for subset in range(1 << bit):
                    table[(1 << bit) + subset] = table[subset] + value
        first, second, third, fourth = tables[0], tables[1], tables[2], tables[3]
        one, two, three, four = packed[byte], packed[byte + 1], packed[byte + 2], packed[byte + 3]
        for row in range(len(out)):
            out[row] += (first[one[row]] + second[two[row]]) + (
                third[three[row]] + fourth[four[row]]
            )
