"""Loading: defaults < preset < YAML file < flags, merged, checked, written.

In:       names of presets, YAML files, nested mappings
Out:      RunSettings. Unknown keys are refused with the nearest names; pydantic checks the types of
          a YAML file, the dataclasses themselves check the ranges
"""

import dataclasses
import difflib
import typing
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError

from maskdistill.errors import SettingsError
from maskdistill.settings.run import RunSettings, backbone_named

DESCRIBES = ("version", "pictures")  # keys of a run's config.yaml that are no settings
PRESETS = ("quick", "demo", "paper-voc12", "paper-coco20k")


def _refuse_unknown_keys(cls: type) -> None:
    config = ConfigDict(extra="forbid", allow_inf_nan=False)
    cls.__pydantic_config__ = config  # type: ignore[attr-defined]
    for field_type in typing.get_type_hints(cls).values():
        if dataclasses.is_dataclass(field_type) and isinstance(field_type, type):
            _refuse_unknown_keys(field_type)


_refuse_unknown_keys(RunSettings)
_ADAPTER = TypeAdapter(RunSettings)


def preset(name: str) -> dict[str, Any]:
    """Return the settings of a preset as nested dict.

    Raises:
        SettingsError: there is no such preset; with the nearest names.
    """
    if name not in PRESETS:
        raise SettingsError(
            f"preset: there is no {name!r}. Presets: {', '.join(PRESETS)}.{nearest(name, PRESETS)}"
        )
    return {key: value for key, value in _read_preset(name).items() if key != "about"}


def about(name: str) -> list[str]:
    """Return what is known of a preset before it starts, a line each: hours, expected scores."""
    told = _read_preset(name).get("about", {}) if name in PRESETS else {}
    hours = [f"{name}: hours {told['hours']}"] if "hours" in told else []
    return hours + [f"{name}: expected: {line}" for line in told.get("expected", ())]


def _read_preset(name: str) -> dict[str, Any]:
    text = (
        resources.files("maskdistill")
        .joinpath("presets", f"{name}.yaml")
        .read_text(encoding="utf-8")
    )
    return yaml.safe_load(text) or {}


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a YAML file's settings as nested dict; a run's config.yaml is such a file too.

    Raises:
        SettingsError: it cannot be read, or is no mapping; nothing else is checked.
    """
    try:
        loaded = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(
            f"{path}: no such file. Give a YAML file with settings to --config"
        ) from None
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read: {error.strerror}. Give a YAML file with settings to --config"
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not readable as YAML: {error}") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise SettingsError(f"{path}: wanted a mapping of settings, found {type(loaded).__name__}")
    return {key: value for key, value in loaded.items() if key not in DESCRIBES}


def merge(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """Merge nested dicts, later ones over earlier ones, key by key.

    The list `weights` is merged stage by stage; all other lists are replaced.

    Raises:
        SettingsError: one layer names a backbone and, by weights of the same stage, another one.
    """
    merged: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
                merged[key] = merge(merged[key], value)
            elif key == "weights" and _entries(merged.get(key)) and _entries(value):
                both = [*merged[key], *value]
                merged[key] = list({entry.partition("=")[0]: entry for entry in both}.values())
            else:
                merged[key] = dict(value) if isinstance(value, Mapping) else value
        if _entries(merged.get("weights")):
            merged["weights"] = _still_meant(merged["weights"], layer)
    return merged


def _still_meant(entries: list[str], layer: Mapping[str, Any]) -> list[str]:
    """Return the entries of `weights` without those whose backbone a later layer replaces."""
    kept = []
    for entry in entries:
        stage, _, what = entry.partition("=")
        own = layer.get(stage)
        wanted, named = (
            own.get("backbone") if isinstance(own, Mapping) else None,
            backbone_named(stage, what),
        )
        if not wanted or named is None or wanted == named:
            kept.append(entry)
        elif entry in layer.get("weights", ()):
            raise SettingsError(
                f"{stage}.backbone is {wanted}, but weights {entry} name another. "
                "Give one of the two"
            )
    return kept


def validate(values: Mapping[str, Any], *, source: str) -> RunSettings:
    """Return RunSettings from a nested dict.

    Raises:
        SettingsError: a key or value that cannot be used; names `source`, the key, and names near
            an unknown one.
    """
    values = dict(values)
    if isinstance(values.get("validation"), float):
        values["validation"] = str(values["validation"])  # in YAML a fraction is a number
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        raise SettingsError(
            f"{source}: " + "; ".join(_explain(item) for item in error.errors())
        ) from None


def load(
    *layers: Mapping[str, Any], preset_name: str | None = None, config: Path | None = None
) -> RunSettings:
    """Return defaults < preset < YAML file < the layers given, checked once.

    Args:
        preset_name: None: the one that the last layer or the file names, `quick` where none does.
    """
    file = read_yaml(config) if config else {}
    named = preset_name or preset_of(file, *layers) or "quick"
    # Whole defaults at the bottom: a layer with `segment.train.steps` alone must not lose segment's
    # other defaults of `train`, which are not those of the class.
    values = merge(as_dict(RunSettings()), preset(named), file, *layers)
    values["preset"] = named
    return validate(values, source=str(config) if config else "settings")


def over(below: RunSettings, flags: Mapping[str, Any]) -> RunSettings:
    """Return settings with a layer of flags over them: nested, of the settings' own types.

    Lists take the place of those below, but `weights`, which are merged stage by stage.

    Raises:
        SettingsError: a flag is out of range, or contradicts another one.
    """
    try:
        return _replaced(below, merge({"weights": below.weights}, flags))
    except ValueError as error:
        raise SettingsError(str(error)) from error


def _replaced(settings: Any, values: Mapping[str, Any]) -> Any:
    made = {
        name: _replaced(getattr(settings, name), value)
        if isinstance(value, Mapping)
        else (tuple(value) if isinstance(value, list) else value)
        for name, value in values.items()
    }
    return dataclasses.replace(settings, **made)


def preset_of(*layers: Mapping[str, Any]) -> Any:
    """Return the preset that the last of the layers names, None where none does."""
    return next((layer["preset"] for layer in reversed(layers) if layer.get("preset")), None)


def as_dict(settings: Any) -> dict[str, Any]:
    """Return settings as a nested plain dict, as it goes into YAML and into fingerprints."""
    return _plain(dataclasses.asdict(settings))


def dump(settings: RunSettings, *, extra: Mapping[str, Any]) -> str:
    """Return the YAML text of all settings.

    Args:
        extra: version and pictures, at the top: comments would not survive editing.
    """
    return yaml.safe_dump({**extra, **as_dict(settings)}, sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _entries(value: Any) -> bool:
    """Return whether a value is a list of texts; what else `weights` may be is refused later."""
    return isinstance(value, list | tuple) and all(isinstance(entry, str) for entry in value)


def _explain(item: Any) -> str:
    # Of a setting of two types pydantic names each type behind the key.
    key = ".".join(
        str(part) for part in item["loc"] if part != "int" and not str(part).startswith("literal[")
    )
    if item["type"] == "unexpected_keyword_argument":
        known = known_keys(item["loc"][:-1])
        return f"unknown setting {key}." + (
            nearest(item["loc"][-1], known) or f" Known: {', '.join(known)}."
        )
    message = item["msg"].removeprefix("Value error, ")
    return (
        f"{key}: {message} (found {item['input']!r})"
        if key and not isinstance(item["input"], dict)
        else message
    )


def known_keys(location: tuple[Any, ...]) -> list[str]:
    """Return the names of the settings at a place in the tree, () for the top."""
    cls: Any = RunSettings
    for part in location:
        cls = typing.get_type_hints(cls).get(part, cls)
    return [field.name for field in dataclasses.fields(cls)]


def nearest(word: Any, known: typing.Iterable[str]) -> str:
    """Return a sentence, with a space before it, that names what is spelt like a word, or ""."""
    near = difflib.get_close_matches(str(word), list(known), n=3)
    return f" Perhaps you meant {' or '.join(near)}." if near else ""
