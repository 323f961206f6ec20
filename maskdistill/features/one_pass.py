"""One pass: features of any blocks of a ViT, and the tokens that leave any, by one forward.

In:       a Network, batch (B, 3, H, W) float32, normalised
Out:      of each block that is asked for a Features a picture; tokens by block
Differs:  nothing is computed behind the last block that something is asked of, and of that one no
          more than is asked for
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from maskdistill.features.network import Network
from maskdistill.types import Features

_FIELDS = ("queries", "keys", "values", "tokens")


def features(
    network: Network,
    batch: Tensor,
    *,
    name: str,
    wanted: Mapping[int, Sequence[str]],
    blocks: Sequence[int] = (),
) -> tuple[dict[int, list[Features]], dict[int, Tensor]]:
    """Return the features of several blocks of each picture of a batch, and tokens of others.

    Args:
        name: of the network, for errors.
        wanted: block -> fields of its Features; none: Features that hold nothing. Negative: counted
            from the last.
        blocks: whose tokens (after the last norm) are given too.
    Returns:
        Block -> one Features a picture; block -> (B, 1 + rows*cols, width) float32, token 0 the
        class token or the patches' mean. On the device of the weights.
    Raises:
        ValueError: another shape, block or field.
    """
    grid = network.grid_of(batch)
    _check(len(network.model.blocks), name, wanted, blocks)
    n_blocks = len(network.model.blocks)
    asked: dict[int, set[str]] = {}  # number of a block, from 0 -> fields
    for block, want in wanted.items():
        asked.setdefault(block % n_blocks, set()).update(want)
    for block in blocks:
        asked.setdefault(block % n_blocks, set()).add("tokens")
    last = max((number for number, fields in asked.items() if fields), default=-1)
    found: dict[int, dict[str, Tensor]] = {number: {} for number in asked}
    stream, rotations = network.embedded(batch, grid)
    for number in range(last + 1):
        fields = asked.get(number, set())
        if fields - {"tokens"}:
            projected = network.projected(number, stream, rotations)
            for field, values in zip(_FIELDS, projected, strict=False):
                if field in fields:
                    found[number][field] = network.one_class(values.float(), dim=2)
        if number == last and "tokens" not in fields:
            break
        stream = network.through(number, stream, rotations)
        if "tokens" in fields:
            found[number]["tokens"] = network.one_class(network.model.norm(stream).float(), dim=1)
    every = {
        block: [
            Features(
                grid=grid,
                patch=network.patch,
                has_class=network.has_class,
                **{field: found[block % n_blocks][field][row] for field in want},
            )
            for row in range(len(batch))
        ]
        for block, want in wanted.items()
    }
    return every, {block: found[block % n_blocks]["tokens"] for block in blocks}


def _check(
    n_blocks: int, name: str, wanted: Mapping[int, Sequence[str]], blocks: Sequence[int]
) -> None:
    """Raise ValueError for a block that a network does not have, or a field that there is not."""
    for asked in (*wanted, *blocks):
        if not -n_blocks <= asked < n_blocks:
            raise ValueError(f"block: {name} has {n_blocks}, got {asked}")
    unknown = {field for want in wanted.values() for field in want} - set(_FIELDS)
    if unknown:
        raise ValueError(f"want: takes {', '.join(_FIELDS)}, got {', '.join(sorted(unknown))}")
