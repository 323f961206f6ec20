"""Settings: every number a user may want to change, one file a stage, with unit, default and source at each.

Loaded by `load` (presets, YAML, flags), made concrete by `resolve`; unpacked into plain keyword arguments by stages.
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
from maskdistill.settings.run import WEIGHT_STAGES, CommonSettings, RunSettings

__all__ = [
    "DESCRIBES",
    "FACETS",
    "METHODS",
    "PRESETS",
    "WEIGHT_STAGES",
    "CommonSettings",
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
