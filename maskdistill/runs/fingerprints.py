"""Fingerprints: what a result was made from, as one hash, and where two of them differ.

In:   nested dicts of plain values, or a file
Out:  SHA-256 as 64 hex digits; lines of differences
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def digest(parts: Mapping[str, Any]) -> str:
    """Return the SHA-256 of canonical JSON: keys sorted, floats by shortest repr, tuples as lists.

    Raises:
        ValueError: nan or infinity. TypeError: a value that JSON does not know.
    """
    return hashlib.sha256(_canonical(parts).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return a line for each place where two nested dicts differ, sorted by key.

    The list is empty exactly where the digests are equal: 1 and 1.0 differ, a tuple and a list of
    the same do not.

    >>> old = {"settings": {"method": "lost", "seed": 1}}
    >>> differences(old, {"settings": {"method": "tokencut"}})
    ['settings.method: lost -> tokencut', 'settings.seed: 1 -> nothing']
    """
    found = []
    for key in sorted(old.keys() | new.keys()):
        name = f"{prefix}{key}"
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping) and before and after:
            found += differences(before, after, f"{name}.")
        elif key not in old or key not in new or _canonical(before) != _canonical(after):
            found.append(f"{name}: {_shown(old, key)} -> {_shown(new, key)}")
    return found


def _canonical(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    )


def _shown(parts: Mapping[str, Any], key: str) -> str:
    if key not in parts:
        return "nothing"
    text = str(parts[key])
    is_hash = len(text) == 64 and not text.strip("0123456789abcdef")
    return f"{text[:12]}..." if is_hash else text
