"""Pictures of imported masks: the images of a file of others, joined to the run's pictures.

In:   a file or folder that datasets/coco/masks_file.py reads, maybe a list of its images; the run's
      pictures
Out:  Joined: which picture each image is, and the pictures that the file does not list
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from maskdistill.datasets.coco import masks_file
from maskdistill.datasets.coco.fields import Key, Size
from maskdistill.datasets.names import join
from maskdistill.engine.job import Image, Job
from maskdistill.errors import PredictionError, SettingsError, listed, setting
from maskdistill.settings.detect import DetectSettings
from maskdistill.settings.propose import ProposeSettings


@dataclass(frozen=True)
class Joined:
    """Images of a file as pictures of the run.

    Attributes:
        source: the file or folder.
        picture_of: image id -> picture id.
        sizes: image id -> (height, width) of the picture, px.
        listed: image ids that the file's masks may have.
        names: category id -> name; empty where the file has none.
        notes: what was assumed of the list of images, a sentence each.
        missing: pictures of the run that the file does not list: their masks are unknown.
    """

    source: Path
    picture_of: Mapping[Key, int]
    sizes: Mapping[Key, Size]
    listed: frozenset[Key]
    names: Mapping[int, str]
    missing: list[Image]
    notes: list[str] = field(default_factory=list)


def joined(job: Job, own: ProposeSettings | DetectSettings) -> Joined:
    """Join the images of a file to the pictures of a run, by relative path or file name.

    A file that lists no images, and has no list beside it, counts in the run's own ids.

    Args:
        own: the settings of the stage whose masks are imported.
    Raises:
        PredictionError: no image is a picture of the run, or one has another size than its picture.
        SettingsError: there are two lists of images.
    """
    source = Path(own.import_file)
    about = masks_file.images(source)
    if own.import_images:
        if about is not None:
            stage = "propose" if isinstance(own, ProposeSettings) else "detect"
            raise SettingsError(
                f"import_images: {source} lists its images itself. "
                f"Leave out {setting(f'{stage}.import_images')}"
            )
        about = masks_file.images(Path(own.import_images))
        if about is None:
            raise PredictionError(f"{own.import_images}: lists no images. Wanted: a COCO dataset")
    if about is None:  # image ids are ours
        sizes: dict[Key, Size] = {image.id: image.size for image in job.images}
        return Joined(
            source, {image.id: image.id for image in job.images}, sizes, frozenset(sizes), {}, []
        )
    pictures = {image.name: image for image in job.images}
    key_of = {path: key for key, path in about.paths.items()}
    pairs = join(list(key_of), [image.name for image in job.images])
    if not pairs:
        raise PredictionError(
            f"{source}: none of its {len(key_of)} images ({listed(list(key_of), 2)}) is one of the run's "
            f"{len(pictures)} pictures ({listed(list(pictures), 2)}). They are joined by relative path or file name"
        )
    of = {key_of[name]: pictures[path] for path, name in pairs.items()}
    differ = [
        f"{about.paths[key]} is {size[1]} x {size[0]} there, {image.width} x {image.height} here"
        for key, image in of.items()
        if (size := about.sizes.get(key, image.size)) != image.size
    ]
    if differ:
        raise PredictionError(
            f"{source}: {len(differ)} images have another size than their pictures: {listed(differ, 3)}. "
            "Give the pictures that the masks were made for; "
            f"turned by 90 degrees: try {setting('orientation', 'stored')}"
        )
    return Joined(
        source,
        {key: image.id for key, image in of.items()},
        {key: image.size for key, image in of.items()},
        frozenset(about.paths),
        about.names,
        [image for image in job.images if image.name not in pairs],
        about.notes,
    )
