"""Findings: what is odd in a file of others, counted by kind, with the first names of each.

In:       kinds (a sentence with {n}) and the names of what is of that kind
Out:      sentences for beside the numbers
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from maskdistill.errors import listed

MOST_NAMES = 5


class Findings:
    """Count what is odd, by kind; kinds stand in the order in which they were first met.

    >>> found = Findings()
    >>> for number in (7, 9):
    ...     found.add("{n} of {objects} objects have no mask", number)
    >>> found.sentences(objects=31)
    ['2 of 31 objects have no mask: 7, 9']
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.first: dict[str, list[Any]] = {}

    def add(self, kind: str, name: object = None, n: int = 1) -> None:
        """Count n more of a kind.

        Args:
            kind: a sentence with {n} for the count, and other names in braces for totals.
            name: of the first of these n; None: the kind has no names.
        """
        self.counts[kind] = self.counts.get(kind, 0) + n
        names = self.first.setdefault(kind, [])
        if name is not None and len(names) <= MOST_NAMES:
            names.append(name)

    def count(self, kind: str) -> int:
        """Return how many of a kind were met."""
        return self.counts.get(kind, 0)

    def sentences(self, **totals: object) -> list[str]:
        """Return a sentence a kind, with its count and its first names.

        Args:
            totals: values for the other names in braces.
        """
        return [self._sentence(kind, totals) for kind in self.counts]

    def _sentence(self, kind: str, totals: Mapping[str, object]) -> str:
        told = kind.format(n=self.counts[kind], **totals)
        names = self.first[kind]
        return f"{told}: {listed(names, MOST_NAMES)}" if names else told
