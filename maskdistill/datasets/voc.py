"""PASCAL VOC as it lies on people's disks: splits, label maps, boxes, instances as a COCO dataset.

In:       the devkit (VOC2007, VOC2012, or the folder above one), or the single archive of earlier
          work (images/, SegmentationClassAug/, sets/); SBD's lists for trainaug
Out:      names of a split, paths, boxes (half-open xyxy), a COCO dataset; what is missing is named
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np

from maskdistill.datasets.label_maps.map_folder import read_map
from maskdistill.datasets.names import read_list
from maskdistill.errors import GroundTruthError, listed
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks, xywh

CLASSES = (
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

VOID = 255


@dataclass(frozen=True)
class Box:
    """Hold an object of an XML file: class 1 .. 20, box half-open xyxy in px, VOC's own flag."""

    category: int
    box: tuple[float, float, float, float]
    difficult: bool


@dataclass(frozen=True)
class Voc:
    """Hold where a VOC folder has its pictures, label maps and lists (split -> file of names)."""

    root: Path
    pictures: Path
    class_maps: Path
    lists: dict[str, Path]

    @property
    def object_maps(self) -> Path:
        """Return the folder of the maps of objects."""
        return self.root / "SegmentationObject"

    def names(self, split: str) -> list[str]:
        """Return the names of a split, sorted; of a list with a second column (-1, 0, 1) all names.

        Raises:
            GroundTruthError: no such split, a name that stands twice.
        """
        if split not in self.lists:
            raise GroundTruthError(
                f"{self.root}: has no list of the split {split!r}. "
                f"There are: {', '.join(sorted(self.lists)) or 'none'}"
            )
        return _names(self.lists[split])

    def label_maps(self, names: Sequence[str]) -> dict[str, Path]:
        """Return name -> label map of classes; raise GroundTruthError as `paths` does."""
        return self.paths(self.class_maps, names)

    def paths(self, folder: Path, names: Sequence[str]) -> dict[str, Path]:
        """Return name -> PNG in a folder of this VOC.

        Raises:
            GroundTruthError: a PNG or its picture is missing: how many, and the first of them.
        """
        self._check(folder, names, ".png", "label map")
        self.check_pictures(names)
        return {name: folder / f"{name}.png" for name in names}

    def check_pictures(self, names: Sequence[str]) -> None:
        """Raise GroundTruthError where a name has no picture: how many, and the first of them."""
        self._check(self.pictures, names, ".jpg", "picture")

    def _check(self, place: Path, names: Sequence[str], suffix: str, what: str) -> None:
        missing = [name for name in names if not (place / f"{name}{suffix}").is_file()]
        if missing:
            raise GroundTruthError(
                f"{place}: the {what} of {len(missing)} of {len(names)} names is missing: "
                f"{listed(missing)}. Unpack the whole archive, or give another split"
            )


def find(root: Path) -> Voc:
    """Find the devkit at or below a folder (VOCdevkit, VOC2007, VOC2012), or the single archive.

    The devkit's splits are called detection/train (of ImageSets/Main), segmentation/train (of
    ImageSets/Segmentation) and so on; the archive's by their files. Lists of one class
    (cat_train.txt) are no splits.

    Raises:
        GroundTruthError: neither is there, or several devkits are.
    """
    if (root / "images").is_dir() and (root / "sets").is_dir():
        lists = {path.stem: path for path in sorted((root / "sets").glob("*.txt"))}
        return Voc(root, root / "images", root / "SegmentationClassAug", lists)
    below = [
        folder
        for folder in (root, *sorted(root.glob("VOC20*")), *sorted(root.glob("*/VOC20*")))
        if _is_devkit(folder)
    ]
    if len(below) != 1:
        found = (
            f"holds several: {listed([str(folder) for folder in below])}. Give one of them"
            if below
            else (
                "is neither VOC's devkit (JPEGImages, ImageSets) "
                "nor the single archive (images, sets)"
            )
        )
        raise GroundTruthError(f"{root}: {found}")
    (home,) = below
    lists = {}
    for kind, folder in (("detection", "Main"), ("segmentation", "Segmentation")):
        for split in ("train", "val", "trainval", "test"):
            path = home / "ImageSets" / folder / f"{split}.txt"
            if path.is_file():
                lists[f"{kind}/{split}"] = path
    return Voc(home, home / "JPEGImages", home / "SegmentationClass", lists)


def trainaug(voc: Voc, sbd: Path | None = None) -> list[str]:
    """Return (VOC train + SBD train + SBD val) less VOC val, sorted: 10 582 names of whole sets.

    Args:
        sbd: folder with SBD's train.txt and val.txt (its `dataset`), or one above it. None: the
            archive's own list, or the names of its SegmentationClassAug that are not in val.
    Raises:
        GroundTruthError: neither is there; which file to put where.
    """
    for own in ("trainaug_seg", "trainaug"):
        if sbd is None and own in voc.lists:
            return voc.names(own)
    val = set(voc.names("segmentation/val" if "segmentation/val" in voc.lists else "val_seg"))
    if sbd is None:
        if voc.class_maps.name != "SegmentationClassAug" or not voc.class_maps.is_dir():
            raise GroundTruthError(
                f"{voc.root}: trainaug needs SBD. Give the folder of its lists "
                "(benchmark_RELEASE/dataset, with train.txt and val.txt), "
                "or the archive with SegmentationClassAug"
            )
        return sorted({path.stem for path in voc.class_maps.glob("*.png")} - val)
    home = next(
        (
            folder
            for folder in (sbd, sbd / "dataset", sbd / "benchmark_RELEASE" / "dataset")
            if (folder / "val.txt").is_file()
        ),
        sbd,
    )
    lists = [home / "train.txt", home / "val.txt"]
    if missing := [str(path) for path in lists if not path.is_file()]:
        raise GroundTruthError(f"{', '.join(missing)}: missing. Put SBD's lists there")
    train = set(voc.names("segmentation/train"))
    return sorted((train | {name for path in lists for name in _names(path)}) - val)


def boxes(voc: Voc, name: str) -> list[Box]:
    """Read the objects of Annotations/<name>.xml.

    VOC counts pixels from 1, and a box holds its last pixel; here boxes are half-open from 0.

    Raises:
        GroundTruthError: no such file, another format, a class that VOC does not have.
    """
    path = voc.root / "Annotations" / f"{name}.xml"
    try:
        objects = ElementTree.parse(path).getroot().findall("object")
        found = []
        for each in objects:
            corners = [
                float(each.findtext(f"bndbox/{key}") or "")
                for key in ("xmin", "ymin", "xmax", "ymax")
            ]
            is_difficult = (each.findtext("difficult") or "0").strip() == "1"
            category = CLASSES.index((each.findtext("name") or "").strip())
            box = (corners[0] - 1, corners[1] - 1, corners[2], corners[3])
            found.append(Box(category, box, is_difficult))
        return found
    except (OSError, ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise GroundTruthError(
            f"{path}: cannot be read as VOC's XML of objects: {error}"
        ) from error


def dataset(
    voc: Voc, split: str, *, of: Literal["masks", "boxes"] = "masks", class_agnostic: bool = False
) -> dict[str, Any]:
    """Convert a split to a COCO dataset: images, annotations numbered from 1, categories.

    Args:
        of: masks: of SegmentationObject, each with the class that most of its pixels have in
            SegmentationClass; void is in no mask, and stands as `ignored` (run lengths) at its
            image,
            for label maps made of the dataset. boxes: of the XML files, with `difficult`, which
            evaluation does not look at.
        class_agnostic: all objects are of one category, `object`.
    Raises:
        GroundTruthError: no such split; files that are missing or do not fit each other.
    """
    names = voc.names(split)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    maps = voc.paths(voc.object_maps, names) if of == "masks" else {}
    class_maps = voc.label_maps(names) if of == "masks" else {}
    for number, name in enumerate(names, 1):
        more: dict[str, Any] = {}
        if of == "masks":
            objects, classes = read_map(maps[name]), read_map(class_maps[name])
            size = objects.shape
            rows = _masks(maps[name], objects, classes)
            if (classes == VOID).any():
                more["ignored"] = rle.encode((classes == VOID)[None])[0]
        else:
            size = _size_of(voc.root / "Annotations" / f"{name}.xml")
            rows = [_box_row(each) for each in boxes(voc, name)]
        images.append(
            {
                "id": number,
                "file_name": f"{name}.jpg",
                "height": int(size[0]),
                "width": int(size[1]),
                **more,
            }
        )
        for row in rows:
            category = 1 if class_agnostic else row["category_id"]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, **row, "category_id": category}
            )
    words = ["object"] if class_agnostic else CLASSES[1:]
    categories = [{"id": number, "name": word} for number, word in enumerate(words, 1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _masks(path: Path, objects: np.ndarray, classes: np.ndarray) -> list[dict[str, Any]]:
    if objects.shape != classes.shape:
        raise GroundTruthError(
            f"{path}: is {objects.shape[1]} x {objects.shape[0]} px, "
            "its map of classes another size"
        )
    rows = []
    for number in np.unique(objects[(objects > 0) & (objects != VOID)]):
        mask = objects == number
        inside = classes[mask & (classes > 0) & (classes != VOID)]
        if not len(inside) or inside.max() >= len(CLASSES):
            raise GroundTruthError(
                f"{path}: object {number} has no class of VOC in SegmentationClass"
            )
        encoded = rle.encode(mask[None])[0]
        rows.append(
            {
                "category_id": int(np.bincount(inside).argmax()),
                "segmentation": encoded,
                "bbox": [float(edge) for edge in xywh(boxes_from_masks(mask[None]))[0]],
                "area": int(mask.sum()),
                "iscrowd": 0,
            }
        )
    return rows


def _box_row(each: Box) -> dict[str, Any]:
    x1, y1, x2, y2 = each.box
    row = {
        "category_id": each.category,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
    }
    return {**row, "iscrowd": 0, "difficult": int(each.difficult)}


def _size_of(path: Path) -> tuple[int, int]:
    try:
        root = ElementTree.parse(path).getroot()
        height, width = (int(root.findtext(f"size/{side}") or "") for side in ("height", "width"))
        return height, width
    except (OSError, ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
        raise GroundTruthError(
            f"{path}: cannot be read as VOC's XML of objects: {error}"
        ) from error


def _names(path: Path) -> list[str]:
    names = [line.split()[0] for line in read_list(path)]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise GroundTruthError(f"{path}: {len(twice)} names stand twice: {listed(twice)}")
    return sorted(names)


def _is_devkit(folder: Path) -> bool:
    return (folder / "JPEGImages").is_dir() and (folder / "ImageSets").is_dir()
