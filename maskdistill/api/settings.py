"""Settings of a verb over a run: the caller's, over preset and file, or over the run's own.

In:       a run's folder; a nested mapping as in a YAML file, or RunSettings; preset and file
Out:      RunSettings, checked
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskdistill.errors import SettingsError
from maskdistill.runs.layout import RunFolder
from maskdistill.settings import RunSettings, load, merge, read_yaml, validate
from maskdistill.settings.load import preset_of

Settings = Mapping[str, Any] | RunSettings | None


def settings_for(
    out: str | Path,
    settings: Settings = None,
    *,
    pictures: str | Path | None = None,
    preset: str | None = None,
    config: str | Path | None = None,
    backbone: str | None = None,
) -> RunSettings:
    """Return the settings of a verb over a run.

    Args:
        out: the run's folder.
        settings: RunSettings are returned as they are; a mapping stands above all else.
        pictures: given: defaults < preset < file < mapping. None: the run's config.yaml stands in
            place of defaults and preset.
        preset: None: the one that mapping or file name.
        config: YAML file.
        backbone: of the proposals, that will stand above what is returned: what the run chose by
            its own is chosen anew. None: that of `settings`.
    Raises:
        SettingsError: what cannot be used; a preset beside the config.yaml of a run with another.
        RunError: without `pictures`, where `out` is no run.
    """
    if isinstance(settings, RunSettings):
        return settings
    flags = dict(settings or {})
    if pictures is not None:
        return load(flags, preset_name=preset, config=Path(config) if config else None)
    from maskdistill.engine.opening import configured

    before = configured(Path(out))
    file = read_yaml(Path(config)) if config else {}
    named = preset or preset_of(file, flags)
    if named is not None and named != before.get("preset"):
        raise SettingsError(
            f"preset: {out} was made with {before.get('preset')}, "
            "and its config.yaml stands in place of a preset. "
            f"Give PICTURES too to begin with {named}"
        )
    given = merge(file, flags)
    own = backbone or given.get("propose", {}).get("backbone")
    below = _not_chosen(_chosen_anew(before, own), given)
    return validate(merge(below, given), source=str(out))


# Settings that `auto` chose by the backbone: another backbone chooses again.
_BY_BACKBONE = {
    "detect": {"size"},
    "segment": {"size"},
    "label": {"overlap", "unsure_score"},
    "cluster": {"again_with", "again_min_score"},
}


def _chosen_anew(before: Mapping[str, Any], backbone: str | None) -> dict[str, Any]:
    """Return a run's settings without those that its backbone chose, where another is given now."""
    is_same = backbone in (None, before.get("propose", {}).get("backbone"))
    if is_same or "backbone" not in {before.get(each, {}).get("size") for each in _BY_BACKBONE}:
        return dict(before)
    return {
        name: {key: each for key, each in value.items() if key not in _BY_BACKBONE[name]}
        if name in _BY_BACKBONE
        else value
        for name, value in before.items()
    }


def _not_chosen(before: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's settings, of those that a sweep is still to choose without what is given."""
    own, flags = before.get("propose", {}), given.get("propose", {})
    if not isinstance(flags, Mapping) or own.get("choose", "no") in ("auto", "no"):
        return dict(before)
    has_size = any("short_side" in flags.get(method, {}) for method in ("lost", "tokencut"))
    left = [
        name
        for name in own["choose"].split(",")
        if name not in flags and not (name == "short_side" and has_size)
    ]
    return {**before, "propose": {**own, "choose": ",".join(left) or "no"}}


def is_run(out: str | Path) -> bool:
    """Return whether a folder is that of a run."""
    return RunFolder(Path(out)).config.is_file()
