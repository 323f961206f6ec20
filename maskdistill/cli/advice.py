"""Advice in the words of the command that was given: settings that a message names, as its flags.

In:       a message that names settings as errors.setting does: `propose.min_score`, `k: 5`
Out:      the message with `--min-score` for `maskdistill propose`, `--propose.min-score` for `run`,
          and `--min-score of `maskdistill propose`` for a command that has no such flag
"""

from __future__ import annotations

import dataclasses
import re
import typing

from maskdistill import api
from maskdistill.cli.given import Chosen
from maskdistill.settings import RunSettings

_NAMED = re.compile(r"`([a-z_]+(?:\.[a-z_]+)*)(?:: ([^`]*))?`")


def in_flags(message: str, chosen: Chosen | None) -> str:
    """Return a message with the settings that it names as flags.

    Args:
        chosen: the settings that the command has flags for; None: none.
    """

    def shown(found: re.Match[str]) -> str:
        words = flag_words(found[1])
        if words is None:  # `maskdistill run`, `none`: no setting
            return found[0]
        first, *rest = found[1].split(".")
        owner = ""
        if chosen is None or first not in chosen.names or (rest and rest[0] in chosen.without):
            is_stages = first in api.VERBS
            owner = f" of `maskdistill {first if is_stages else 'run'}`"
            bare = first if is_stages else ""
        else:
            bare = chosen.bare
        flag = "--" + ".".join(words[1:] if first == bare else words)
        return f"{flag} {found[2]}{owner}" if found[2] else f"{flag}{owner}"

    return _NAMED.sub(shown, message)


def flag_words(setting: str) -> list[str] | None:
    """Return the words of a setting's whole flag: `propose.import_file` is `propose`, `import`.

    None where there is no such setting, or where it is a group of settings.
    """
    cls: typing.Any = RunSettings
    words = []
    for name in setting.split("."):
        hints = typing.get_type_hints(cls, include_extras=True) if cls else {}
        if name not in hints:
            return None
        # A word that Python keeps for itself (import) is the flag's name alone.
        marks = getattr(hints[name], "__metadata__", ())
        own = next((mark.name for mark in marks if getattr(mark, "name", None)), name)
        words.append(own.replace("_", "-"))
        cls = hints[name] if dataclasses.is_dataclass(hints[name]) else None
    return words if cls is None else None
