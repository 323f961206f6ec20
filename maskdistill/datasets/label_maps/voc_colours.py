"""VOC's colours: the palette of its label maps, and class numbers of colours.

Paper:    the devkit's VOClabelcolormap.m: three bits of the number go to red, green and blue, the
          lowest three to each channel's highest bit, the next three to the bit below, and so on
In:       colours, uint8 RGB
Out:      numbers 0 .. 255 (0 background, 1 .. 20 the classes, 255 void, (224, 224, 192)), uint8
"""

from __future__ import annotations

import numpy as np

_VALUES = np.arange(256, dtype=np.uint8)


def _spread(first: int) -> np.ndarray:
    """Return number -> the value of a channel, (256,) uint8; first: the channel's lowest bit."""
    channel = np.zeros(256, np.uint8)
    for place, bit in enumerate(range(first, 8, 3)):
        channel |= ((_VALUES >> bit) & 1) << (7 - place)
    return channel


PALETTE = np.stack([_spread(channel) for channel in range(3)], axis=1)  # (256, 3) RGB
# Value of a channel -> the bits of the number that it holds, a row a channel.
_BITS = np.zeros((3, 256), np.uint8)
for _channel in range(3):
    for _place, _bit in enumerate(range(_channel, 8, 3)):
        _BITS[_channel] |= ((_VALUES >> (7 - _place)) & 1) << _bit
# The bits that no colour of the palette has: red and green have three bits, blue has two.
_UNUSED = np.array([0b11111, 0b11111, 0b111111], np.uint8)


def numbers(rgb: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of each colour, and which colours are not of the palette.

    Args:
        rgb: (..., 3) uint8.
    Returns:
        Numbers (...) uint8, of no meaning where the colour is none of VOC's; (...) bool, True
        there.

    >>> found, strange = numbers(np.array([[128, 0, 0], [224, 224, 192], [1, 0, 0]], np.uint8))
    >>> found.tolist(), strange.tolist()
    ([1, 255, 0], [False, False, True])
    """
    red, green, blue = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    found = _BITS[0][red] | _BITS[1][green] | _BITS[2][blue]
    strange = ((red | green) & _UNUSED[0]) | (blue & _UNUSED[2])
    return found, strange > 0
