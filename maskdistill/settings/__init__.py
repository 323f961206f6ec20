"""Settings: every number that a user may want to change, one file a stage.

Each stands once, with unit, default, range and source; the help text is the comment at the field.
In:       defaults < preset < YAML file < flags (`load`, `over`), made concrete by `resolve`
Out:      frozen dataclasses, which stages unpack into plain keyword arguments
"""

from maskdistill.settings.load import (
    DESCRIBES,
    PRESETS,
    about,
    as_dict,
    dump,
    load,
    merge,
    nearest,
    over,
    preset,
    read_yaml,
    validate,
)
from maskdistill.settings.propose import FACETS, METHODS
from maskdistill.settings.resolve import resolve
from maskdistill.settings.run import WEIGHT_STAGES, CommonSettings, Reading, RunSettings

__all__ = [
    "DESCRIBES",
    "FACETS",
    "METHODS",
    "PRESETS",
    "WEIGHT_STAGES",
    "CommonSettings",
    "Reading",
    "RunSettings",
    "about",
    "as_dict",
    "dump",
    "load",
    "merge",
    "nearest",
    "over",
    "preset",
    "read_yaml",
    "resolve",
    "validate",
]
