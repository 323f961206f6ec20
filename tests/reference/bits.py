"""The slow twin of packed bits: any symmetric matrix of zeros and ones as Bits, packed by NumPy."""

import numpy as np

from maskdistill.proposals.spectral.bits import Bits


def packed(entries: np.ndarray) -> Bits:
    """Return (n, n) zeros and ones, symmetric, as Bits: eight rows to a byte, rows in fours of bytes."""
    n = len(entries)
    n_bytes = -(-n // 32) * 4
    whole = np.zeros((8 * n_bytes, 8 * n_bytes), np.uint8)
    whole[:n, :n] = entries
    return Bits(np.packbits(whole, axis=0, bitorder="little"), n)
