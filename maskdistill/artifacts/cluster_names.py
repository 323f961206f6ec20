"""Names of clusters: a word for each, those of names.json where somebody named them."""

from __future__ import annotations

import json

from maskdistill.errors import RunError
from maskdistill.runs.layout import ClusterFolder


def of(folder: ClusterFolder) -> list[str]:
    """Return a word for each cluster of a clustering: its name, or "cluster 3".

    Raises:
        RunError: names.json has more or fewer names than there are clusters, or two alike.
    """
    k = int(json.loads(folder.about.read_text(encoding="utf-8"))["k"])
    path = folder.names
    if not path.exists():
        return [f"cluster {number}" for number in range(k)]
    names: list[str] = json.loads(path.read_text(encoding="utf-8"))["names"]
    if len(names) != k or len(set(names)) != k:
        raise RunError(
            f"{path}: holds {len(names)} names ({len(set(names))} of them unlike) for {k} clusters. "
            "Name them again: maskdistill cluster RUN --name-with LABELLED, or remove the file"
        )
    return names


def unlike(names: list[str]) -> list[str]:
    """Return the same names, a number behind one that occurred before.

    Exports and people tell clusters apart by name.

    >>> unlike(["cat", "dog", "cat"])
    ['cat', 'dog', 'cat 2']
    """
    found: list[str] = []
    for name in names:
        number, shown = 1, name
        while shown in found:
            number += 1
            shown = f"{name} {number}"
        found.append(shown)
    return found
