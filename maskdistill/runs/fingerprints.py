"""Fingerprints: what a result was made from, as one hash, and where two of them differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def digest(parts: Mapping[str, Any]) -> str:
    """SHA-256 of canonical JSON; ValueError for nan and infinity."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[str]:
    """A line for each place where two nested dicts differ: `settings.method: lost -> tokencut`."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key, "nothing"), new.get(key, "nothing")
        name = f"{prefix}{key}"
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            found += differences(before, after, f"{name}.")
        elif before != after:
            found.append(f"{name}: {_short(before)} -> {_short(after)}")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return f"{text[:12]}..." if len(text) == 64 and " " not in text else text
