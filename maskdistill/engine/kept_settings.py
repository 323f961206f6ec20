"""Keeping a result that is refused: how to ask again for the settings that it was made with.

In:   the parts of its fingerprint, and of what is asked for now; the settings asked for now
Out:  a sentence of advice, or none
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from maskdistill.errors import setting
from maskdistill.settings import RunSettings


def advice(
    stage: str,
    verb: str,
    there: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    settings: RunSettings,
    root: Path,
) -> str:
    """Return how to keep a result of other settings; "" where its inputs or version differ too.

    The settings that differ are named with their old values where each of them has a name and a
    value that a flag takes.

    Args:
        stage, verb: of the result, as in STAGES.
        there, wanted: parts of fingerprints (`stage.parts_of`).
        settings: those that are asked for now.
        root: folder of the run.
    """
    if any(there.get(key) != wanted.get(key) for key in ("version", "reads")):
        return ""
    named = []
    is_named = there.get("weights") == wanted.get("weights")
    for key, before in _changed(there.get("settings", {}), wanted.get("settings", {})):
        found = _name(key, (stage.replace("/", "."), verb, ""), settings)
        is_named = is_named and found is not None and _is_plain(before)
        named.append(setting(found or key, str(before)))
    flags = f"give {', '.join(named)}; or " if is_named and named else ""
    return (
        f"Keep it: {flags}`maskdistill run --out {root}`, without PICTURES, goes on with the "
        "settings in its config.yaml"
    )


def _changed(
    before: Mapping[str, Any], after: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield the dotted name of each setting that differs, and its value before; None: it had none.

    Lists and what became of them in JSON, tuples, are alike.
    """
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            yield from _changed(old, new, f"{prefix}{key}.")
        elif old != new and not (isinstance(old, list) and list(new or ()) == old):
            yield f"{prefix}{key}", old


def _name(key: str, groups: tuple[str, ...], settings: RunSettings) -> str | None:
    """Return the whole name of a setting that a fingerprint calls `key`; None: no such setting."""
    for group in groups:
        name = f"{group}.{key}" if group else key
        found: Any = settings
        for word in name.split("."):
            found = getattr(found, word, None)
        if found is not None:
            return name
    return None


def _is_plain(value: Any) -> bool:
    """Return whether a flag takes a value as it is printed: a number, or a word."""
    return isinstance(value, int | float | str) and not isinstance(value, bool) and value != ""
