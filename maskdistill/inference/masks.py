"""masks: pictures -> their masks as PNG and JSON; no run, nothing trained.

In:   a folder of pictures, files or patterns; resolved settings
Out:  for each picture, at its relative path: <name>.png, a palette PNG (0 background, 1 .. n the
      masks by falling score, where they overlap the better one); <name>.json, box, area, score and
      the whole mask of each; if separate also <name>.masks/1.png .. n.png, black and white
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from maskdistill.artifacts import label_maps
from maskdistill.discovery import records
from maskdistill.discovery.pool import tried_of
from maskdistill.engine import networks
from maskdistill.engine.job import Job
from maskdistill.errors import PictureError, SettingsError
from maskdistill.inference import result_folder
from maskdistill.masks import rle
from maskdistill.pictures import Pictures
from maskdistill.runs import atomic
from maskdistill.runs.progress import Progress
from maskdistill.settings import RunSettings
from maskdistill.stages import propose
from maskdistill.types import MOST_IDS, Notes


def work(
    pictures: Pictures, out: Path, settings: RunSettings, *, separate: bool, quiet: bool
) -> dict[str, int]:
    """Write the masks of every picture that has none yet.

    Args:
        settings: resolved (no `auto` left).
        separate: also a black and white PNG a mask.
    Returns:
        Counts: pictures and masks made now, pictures among them without a mask, pictures done
        before, refused.
    Raises:
        SettingsError: more masks a picture than a PNG holds, or folders of masks that would meet.
        RunError: `out` holds results of other settings.
    """
    own = settings.propose
    if own.max_masks > MOST_IDS:
        raise SettingsError(f"max_masks: a PNG holds {MOST_IDS} masks, got {own.max_masks}")
    job = Job.alone(settings)
    progress = Progress(quiet=quiet)
    made_with = {
        "version": propose.STAGE.version,
        "settings": propose.parts(settings),
        "weights": propose.weights(job),
        "orientation": settings.orientation,
        "separate": separate,
        **{name: value for name, value in _of_reading(settings).items() if value},
    }
    all_pages = settings.pages == "all"
    reading = settings.reading
    if settings.levels == "stretch_all":
        reading = result_folder.of_set(out, pictures, settings, progress)
    network = networks.backbone(job, "propose", own.backbone)
    tried = tried_of(own)

    def begin(names: Mapping[str, str]) -> None:
        """Check the names of the results, and say what they are made with."""
        if separate:
            _check_folders(names)
        progress.say(
            f"device: {networks.device(job)}, backbone: {own.backbone}, method: {own.method}"
        )
        for method in dict.fromkeys(each.recipe.method for each in tried):
            if what := propose.stand_in(method, network):
                progress.say(what)
        if network.note:
            progress.say(network.note)

    def masks(target: Path, path: str, rgb: np.ndarray) -> dict[str, int]:
        """Write the files of one picture; return its counts."""
        try:
            found, notes = records.found(
                lambda: rgb, own, tried, size=rgb.shape[:2], backbone=network
            )
        except MemoryError as error:
            raise PictureError(f"{path}: {error}") from error
        rows = found["masks"]
        write(target, path, rows, size=rgb.shape[:2], notes=notes, separate=separate)
        return {"masks": len(rows), "without masks": not rows}

    counts = result_folder.fill(
        out,
        pictures,
        masks,
        title="masks",
        made_with=made_with,
        reading=reading,
        all_pages=all_pages,
        settings=settings,
        progress=progress,
        begin=begin,
        limit=settings.limit,
    )
    first = {"pictures": counts.pop("new"), "masks": counts.pop("masks", 0)}
    return {**first, "without masks": counts.pop("without masks", 0), **counts}


def write(
    target: Path,
    path: str,
    rows: list[dict[str, Any]],
    *,
    size: tuple[int, int],
    notes: Notes,
    separate: bool,
) -> None:
    """Write the files of one picture, the JSON last.

    Args:
        target: the files' common path, without extension.
        path: of the picture, relative to the folder of pictures.
        rows: the masks as `records.found` gives them, by falling score.
        size: (height, width) of the picture.
        separate: also a black and white PNG a mask; those of masks that are gone are removed.
    """
    label_map = np.zeros(size, np.uint8)
    folder = result_folder.file_of(target, ".masks")
    if separate:
        atomic.make_folder(folder)
    for number in range(len(rows), 0, -1):
        (mask,) = rle.decode([rows[number - 1]["rle"]])
        label_map[mask] = number
        if separate:
            buffer = io.BytesIO()
            Image.fromarray(mask.astype(np.uint8) * 255).save(buffer, format="PNG")
            atomic.write_bytes(folder / f"{number}.png", buffer.getvalue())
    if separate:  # of a picture that was replaced
        number = len(rows) + 1
        while (old := folder / f"{number}.png").exists():
            old.unlink()
            number += 1
    label_maps.write(result_folder.file_of(target, ".png"), label_map)
    described = [
        {
            "label": number,
            "score": row["score"],
            "area": row["area"],
            "box_xyxy": row["box"],
            "mask": row["rle"],
            **({"sources": row["sources"]} if "sources" in row else {}),
        }
        for number, row in enumerate(rows, 1)
    ]
    about = {
        "picture": path,
        "size": list(size),
        "masks": described,
        "notes": [[note.value, value] for note, value in notes],
    }
    atomic.write_json(result_folder.file_of(target, ".json"), about)


def _of_reading(settings: RunSettings) -> dict[str, Any]:
    """Return settings of how pictures are read, None where they are as ever."""
    return {
        "levels": settings.levels if settings.levels != "full" else None,
        "bands": settings.bands,
        "pages": settings.pages if settings.pages != "first" else None,
    }


def _check_folders(names: Mapping[str, str]) -> None:
    """Raise SettingsError where a picture's folder of masks would hold another's results too.

    Args:
        names: path of each picture -> its target, both relative.
    """
    owners = {f"{target}.masks": path for path, target in names.items()}
    for path in names:
        if owner := owners.get(str(PurePosixPath(path).parent)):
            raise SettingsError(
                f"separate: the masks of {owner} would meet what is made of {path}. "
                "Rename one, or leave out --separate"
            )
