"""Alone: masks of one picture and of a folder, without a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskdistill.errors import SettingsError
from maskdistill.settings import RunSettings, resolve
from maskdistill.settings import load as load_settings

if TYPE_CHECKING:
    import numpy as np


def discover(
    picture: np.ndarray | str | Path,
    *,
    method: str | None = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    max_masks: int | None = None,
    min_score: float | None = None,
    pixels: str | None = None,
    device: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the masks of one picture, nothing trained, no run, as Segment Anything's records.

    In a loop over pictures the backbone is loaded once: that of the last call is held in memory,
    and used again while its name, weights (a file by path, size and time of change), device,
    precision and rotation stay the same. What is None, or not in settings, is as
    `maskdistill propose` has it.

    Args:
        picture: (H, W, 3) uint8 RGB, or a file.
        method: auto, maskdistill, lost, tokencut or maskcut.
        backbone: dino_vits16, timm/<model>, handcrafted, ...
        weights: a name, a file, or `none` for drawn ones; None: those of the backbone's name.
        max_masks: the most masks that are looked for, at least 1.
        min_score: masks that score less are left out, in [0, 1].
        pixels: auto, nearest, bilinear, refine or crf: the way from patches to pixels.
        device: auto, cpu, cuda, cuda:N.
        settings: all else that `propose` can be told, as in a YAML file
            ({"block": -2, "lost": {"short_side": 480}}), and precision, orientation,
            max_megapixels, levels, bands.
    Returns:
        A dict a mask, by falling score, none where nothing is found: segmentation (H, W) bool; bbox
        [x, y, w, h]; area in pixels; score in [0, 1], and the same as predicted_iou, for code that
        is written for Segment Anything; point_coords [[x, y]], the middle of the patch that the
        mask grew from, in pixels of the picture (`refine` may draw the outline past it), or []
        where the mask does not hold that patch.
    Raises:
        SettingsError: an argument or setting that cannot be used.
        WeightsError, PictureError: what cannot be read.
        ValueError, TypeError: `picture` is an array of another form, or something else.
    """
    from maskdistill.inference import one_picture

    given = {
        "method": method,
        "backbone": backbone,
        "max_masks": max_masks,
        "min_score": min_score,
        "pixels": pixels,
    }
    chosen = _settings_of_masks(
        given,
        {"device": device},
        weights,
        settings,
        ("precision", "orientation", "max_megapixels", "levels", "bands"),
    )
    return one_picture.of_picture(picture, chosen)


def masks(
    *,
    pictures: str | Path | Sequence[str | Path],
    out: str | Path,
    method: str | None = None,
    backbone: str | None = None,
    weights: str | Path | None = None,
    max_masks: int | None = None,
    min_score: float | None = None,
    pixels: str | None = None,
    device: str | None = None,
    limit: int | None = None,
    separate: bool = False,
    settings: Mapping[str, Any] | RunSettings | None = None,
    quiet: bool = False,
) -> dict[str, int]:
    """Write the masks of pictures as PNG and JSON at their relative paths; no run.

    The same call goes on where it was stopped. Arguments not named below are those of `discover`.

    Args:
        pictures: a folder, searched recursively; a file; a pattern ("photos/*.jpg"); or several of
            these, whose results stand at the paths relative to the deepest folder that holds all.
        out: for each picture <name>.png (0 background, 1 .. n the masks by falling score) and
            <name>.json (box, area, score and run lengths of each). <name> is the picture's without
            extension; with it where two would meet.
        limit: the first pictures by path alone; 0: all.
        separate: a black and white PNG a mask too, in <name>.masks/.
        settings: as `discover` takes them, and pages, threads, workers; or all settings as
            RunSettings.
        quiet: no progress on stderr.
    Returns:
        Counts: pictures, masks, without masks (made now); done before; refused (why:
        OUT/.maskdistill/refused.json).
    Raises:
        MaskDistillError: what is wrong, where, and what to do; OUT with results of other settings
            is refused.
    """
    from maskdistill.engine.opening import threads
    from maskdistill.inference import masks as stage
    from maskdistill.pictures import check

    # Before weights are looked for, which a stranger may have to fetch first.
    check(pictures)
    given = {
        "method": method,
        "backbone": backbone,
        "max_masks": max_masks,
        "min_score": min_score,
        "pixels": pixels,
    }
    of_pictures = ("precision", "orientation", "max_megapixels", "levels", "bands")
    others = (*of_pictures, "pages", "threads", "workers")
    chosen = _settings_of_masks(
        given, {"device": device, "limit": limit}, weights, settings, others
    )
    with threads(chosen.threads):
        return stage.work(pictures, Path(out), chosen, separate=separate, quiet=quiet)


def _settings_of_masks(
    given: Mapping[str, Any],
    common: Mapping[str, Any],
    weights: str | Path | None,
    settings: Mapping[str, Any] | RunSettings | None,
    others: tuple[str, ...],
) -> RunSettings:
    """Return resolved settings from arguments, where they are not None, and a mapping of the rest.

    Args:
        given: arguments that are settings of `propose`.
        common: arguments that are settings of the run.
        weights: of the backbone of `propose`.
        settings: the rest, or all settings as RunSettings.
        others: settings of the run that may stand in the mapping beside those of `propose`.
    Raises:
        SettingsError: a setting given twice, one that there is not, or one that cannot be used.
    """
    if isinstance(settings, RunSettings):
        extra = [
            name
            for name, value in {**given, **common, "weights": weights}.items()
            if value is not None
        ]
        if extra:
            raise SettingsError(f"{extra[0]}: stands in RunSettings already. Give it there alone")
        return _resolved(settings)
    if settings is not None and not isinstance(settings, Mapping):
        raise SettingsError(
            f"settings: wanted a mapping of settings of propose, found {type(settings).__name__}"
        )
    propose = {name: value for name, value in given.items() if value is not None}
    rest = dict(settings or {})
    twice = [name for name in (*propose, *common, "weights") if name in rest]
    if twice:
        raise SettingsError(f"settings: {twice[0]} is an argument of its own. Give it there alone")
    values: dict[str, Any] = {name: rest.pop(name) for name in others if name in rest}
    values |= {name: value for name, value in common.items() if value is not None}
    if weights is not None:
        what = str(weights).removeprefix("propose=")
        if not what:
            raise SettingsError("weights: wanted the name of some, a file or none, found nothing")
        values["weights"] = [f"propose={what}"]
    return _resolved(load_settings({**values, "propose": {**rest, **propose}}))


def _resolved(settings: RunSettings) -> RunSettings:
    """Return the settings with `auto` resolved.

    Raises:
        SettingsError: masks that are to be imported, or settings that do not go together.
    """
    if settings.propose.import_file:
        raise SettingsError(
            f"import: {settings.propose.import_file} is for a run alone "
            "(maskdistill propose RUN --import). Here masks are found"
        )
    try:
        return resolve(settings)
    except ValueError as error:
        raise SettingsError(str(error)) from error
