"""Small trees of drawn pictures, in the exact layouts of VOC, SBD, the single archive and COCO.

    trees.voc(root)            VOCdevkit/VOC2012: JPEGImages, Annotations, ImageSets, ...
    trees.sbd(root, devkit)    benchmark_RELEASE/dataset: img, cls, inst, train.txt, val.txt
    trees.archive(root, devkit, sbd)    images, SegmentationClassAug, sets
    trees.coco(root)           train2014, annotations/instances_train2014.json
    trees.tar, trees.zip_of    a folder as the archive that it comes in

Names, ids and the relations of the lists are made as those of the originals are: what is not in a
list is in none, SBD's pictures are among VOC's, and some of them are in VOC's val.
"""

from __future__ import annotations

import json
import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image
from scipy import ndimage

from maskdistill.datasets.voc import CLASSES
from maskdistill.masks import rle
from maskdistill.masks.boxes import boxes_from_masks
from maskdistill.masks.polygons import polygons_from_mask
from maskdistill.workflows import demo_pictures

SIZE = (96, 120)
N_KINDS = 4
VOC_CLASS = (5, 12, 7, 15)  # bottle, dog, car, person: what the drawn kinds are in VOC
COCO_CATEGORY = (44, 18, 3, 1)  # the same by COCO's ids, which have gaps
PALETTE = [
    value
    for number in range(256)
    for value in (number * 37 % 256, number * 91 % 256, number * 151 % 256)
]


def drawn(seed: int, n: int, size: tuple[int, int] = SIZE) -> list[demo_pictures.Drawn]:
    """Draw so many pictures with at least one object."""
    found: list[demo_pictures.Drawn] = []
    index = 0
    while len(found) < n:
        index += 1
        picture = demo_pictures.draw(seed, index, size=size, n_kinds=N_KINDS)
        if len(picture.masks):
            found.append(picture)
    return found


def voc(
    root: Path,
    *,
    year: int = 2012,
    n_train: int = 4,
    n_val: int = 3,
    n_others: int = 4,
    size: tuple[int, int] = SIZE,
    seed: int = 0,
) -> Path:
    """Make VOCdevkit/VOC<year>; return it.

    So many pictures are in segmentation train and val, and others without maps. Detection: train
    holds segmentation train and half of the others, val the rest, but not the last picture of
    segmentation val, which only the segmentation lists name (as 327 of VOC 2012). 2007: a test list
    too, of n_val more.
    """
    home = root / "VOCdevkit" / f"VOC{year}"
    n_test = n_val if year == 2007 else 0
    names = [
        f"{year if year == 2007 else 2008}_{number:06d}"
        for number in range(1, 1 + n_train + n_val + n_others)
    ]
    if year == 2007:
        names = [f"{number:06d}" for number in range(1, 1 + len(names) + n_test)]
    pictures = drawn(seed, len(names), size)
    train, val = names[:n_train], names[n_train : n_train + n_val]
    others, test = (
        names[n_train + n_val : n_train + n_val + n_others],
        names[n_train + n_val + n_others :],
    )
    for name, picture in zip(names, pictures, strict=True):
        _jpeg(home / "JPEGImages" / f"{name}.jpg", picture.rgb)
        _write(home / "Annotations" / f"{name}.xml", _xml(name, picture, f"VOC{year}"))
        if name in train or name in val or name in test:
            classes, objects = label_maps(picture)
            save_map(home / "SegmentationClass" / f"{name}.png", classes)
            save_map(home / "SegmentationObject" / f"{name}.png", objects)
    half = len(others) // 2
    of_detection = {"train": train + others[:half], "val": val[:-1] + others[half:]}
    of_segmentation = {"train": train, "val": val}
    if test:
        of_detection["test"] = of_segmentation["test"] = test
    kind_of = dict(zip(names, pictures, strict=True))
    for folder, lists in (("Main", of_detection), ("Segmentation", of_segmentation)):
        whole = {**lists, "trainval": sorted(lists["train"] + lists["val"])}
        for split, own in whole.items():
            _write(
                home / "ImageSets" / folder / f"{split}.txt",
                "".join(f"{name}\n" for name in sorted(own)),
            )
            for kind, number in enumerate(VOC_CLASS if folder == "Main" else ()):
                rows = [
                    f"{name} {1 if kind in kind_of[name].kinds else -1:2d}\n"
                    for name in sorted(own)
                ]
                _write(
                    home / "ImageSets" / folder / f"{CLASSES[number]}_{split}.txt", "".join(rows)
                )
    return home


def sbd(root: Path, devkit: Path, *, seed: int = 0) -> Path:
    """Make benchmark_RELEASE/dataset beside a devkit of the same seed; return what holds it.

    Of the devkit's pictures: in train the first of segmentation train and of segmentation val and
    half of the others, in val another of segmentation train and the rest of the others.
    """
    home = root / "benchmark_RELEASE" / "dataset"
    lists = devkit / "ImageSets" / "Segmentation"
    train, val = ((lists / f"{split}.txt").read_text().split() for split in ("train", "val"))
    everything = sorted(path.stem for path in (devkit / "JPEGImages").glob("*.jpg"))
    others = [name for name in everything if name not in train + val]
    half = (len(others) + 1) // 2
    own = {"train": [train[0], val[0], *others[:half]], "val": [train[1], *others[half:]]}
    size = _size_of(devkit / "JPEGImages" / f"{everything[0]}.jpg")
    pictures = dict(zip(everything, drawn(seed, len(everything), size), strict=True))
    for split, names in own.items():
        _write(home / f"{split}.txt", "".join(f"{name}\n" for name in sorted(names)))
        for name in names:
            _link(devkit / "JPEGImages" / f"{name}.jpg", home / "img" / f"{name}.jpg")
            classes, objects = label_maps(pictures[name], void=False)
            present = np.unique(classes[classes > 0]).astype(np.uint8)[:, None]
            for folder, key, values in (("cls", "GTcls", classes), ("inst", "GTinst", objects)):
                (home / folder).mkdir(parents=True, exist_ok=True)
                fields = {
                    "Segmentation": values,
                    "CategoriesPresent" if key == "GTcls" else "Categories": present,
                }
                scipy.io.savemat(home / folder / f"{name}.mat", {key: fields}, do_compression=True)
    return root


def archive(root: Path, devkit: Path, sbd_root: Path, *, seed: int = 0) -> Path:
    """Make the single archive of earlier work, of a devkit and SBD made before; return it."""
    home = root / "VOCSegmentation"
    everything = sorted(path.stem for path in (devkit / "JPEGImages").glob("*.jpg"))
    lists = {
        folder: {
            split: (devkit / "ImageSets" / folder / f"{split}.txt").read_text().split()
            for split in ("train", "val")
        }
        for folder in ("Main", "Segmentation")
    }
    of_sbd = [
        (sbd_root / "benchmark_RELEASE" / "dataset" / f"{split}.txt").read_text().split()
        for split in ("train", "val")
    ]
    val = lists["Segmentation"]["val"]
    trainaug = sorted({*lists["Segmentation"]["train"], *of_sbd[0], *of_sbd[1]} - set(val))
    size = _size_of(devkit / "JPEGImages" / f"{everything[0]}.jpg")
    pictures = dict(zip(everything, drawn(seed, len(everything), size), strict=True))
    for name in everything:
        _link(devkit / "JPEGImages" / f"{name}.jpg", home / "images" / f"{name}.jpg")
        if name in trainaug or name in val:
            save_map(home / "SegmentationClassAug" / f"{name}.png", label_maps(pictures[name])[0])
    main = lists["Main"]
    sets = {
        **main,
        "trainval": sorted(main["train"] + main["val"]),
        "train_all": everything,
        "instance": sorted(lists["Segmentation"]["train"] + val),
        "val_seg": val,
    }
    for split, names in sets.items():
        _write(home / "sets" / f"{split}.txt", "".join(f"{name}\n" for name in names))
    # No newline at its end, as the original.
    _write(home / "sets" / "trainaug_seg.txt", "\n".join(trainaug))
    for split in ("train", "val", "trainval"):
        _write(
            home / "sets" / f"train_{split}.txt", "".join(f"{name} -1\n" for name in sets[split])
        )
    return home


def coco(
    root: Path,
    *,
    split: str = "train2014",
    n: int = 6,
    crowds: bool = True,
    size: tuple[int, int] = SIZE,
    seed: int = 1,
) -> Path:
    """Make <split>/ and annotations/instances_<split>.json; return the JSON.

    Names of 2014: COCO_train2014_000000000009.jpg. Objects are polygons with one decimal, the last
    one of every third picture a crowd (plain run lengths).
    """
    prefix = f"COCO_{split}_" if split.endswith("2014") else ""
    images, annotations = [], []
    for place, picture in enumerate(drawn(seed, n, size)):
        number = 9 + 16 * place
        name = f"{prefix}{number:012d}.jpg"
        _jpeg(root / split / name, picture.rgb)
        images.append(
            {"license": 3, "file_name": name, "height": size[0], "width": size[1], "id": number}
        )
        for row, (mask, kind) in enumerate(zip(picture.masks, picture.kinds, strict=True)):
            crowd = crowds and place % 3 == 0 and row == len(picture.masks) - 1 and row > 0
            polygons = [
                [round(value, 1) for value in each]
                for each in polygons_from_mask(mask, tolerance_px=0.5)
            ]
            x1, y1, x2, y2 = map(float, boxes_from_masks(mask[None])[0])
            annotations.append(
                {
                    "segmentation": {"counts": _counts(mask), "size": list(size)}
                    if crowd
                    else polygons,
                    "area": float(mask.sum()),
                    "iscrowd": int(crowd),
                    "image_id": number,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "category_id": COCO_CATEGORY[kind],
                    "id": 900_100 + len(annotations),
                }
            )
    categories = [
        {"supercategory": "thing", "id": number, "name": name}
        for number, name in sorted(
            zip(COCO_CATEGORY, ("bottle", "dog", "car", "person"), strict=True)
        )
    ]
    dataset = {
        "info": {"year": int(split[-4:])},
        "licenses": [],
        "images": images,
        "annotations": annotations,
    }
    out = root / "annotations" / f"instances_{split}.json"
    _write(out, json.dumps({**dataset, "categories": categories}))
    return out


def tar(folder: Path, out: Path, *, mode: str = "w") -> Path:
    """Put a folder into a tar whose members begin with the folder's name; mode w:gz packs it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(out, mode) as file:
        file.add(folder, arcname=folder.name)
    return out


def zip_of(folders: Sequence[Path], out: Path) -> Path:
    """Put folders into a zip whose members begin with the folders' names, stored as COCO's are."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(out, "w") as file:
        for folder in folders:
            for path in sorted(folder.rglob("*")):
                file.write(path, path.relative_to(folder.parent).as_posix())
    return out


def files_below(folder: Path) -> dict[str, bytes]:
    """Return the content of every file of a folder and of those below it, by relative path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def label_maps(picture: demo_pictures.Drawn, *, void: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return maps of classes and of objects, (H, W) uint8: objects numbered from 1.

    Args:
        void: a rim of 1 px inside each object is 255.
    """
    classes, objects = np.zeros((2, *picture.rgb.shape[:2]), np.uint8)
    rim = np.zeros(classes.shape, bool)
    for number, (mask, kind) in enumerate(zip(picture.masks, picture.kinds, strict=True), 1):
        classes[mask], objects[mask] = VOC_CLASS[kind], number
        rim |= mask & ~ndimage.binary_erosion(mask)
    if void:
        classes[rim], objects[rim] = 255, 255
    return classes, objects


def save_map(path: Path, values: np.ndarray) -> None:
    """Write a label map as a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values.astype(np.uint8))
    picture.putpalette(PALETTE)
    picture.save(path)


def _xml(name: str, picture: demo_pictures.Drawn, folder: str) -> str:
    height, width = picture.rgb.shape[:2]
    rows = []
    for number, (box, kind) in enumerate(
        zip(boxes_from_masks(picture.masks), picture.kinds, strict=True)
    ):
        x1, y1, x2, y2 = map(int, box)
        corners = "".join(
            f"\t\t\t<{key}>{value}</{key}>\n"
            for key, value in zip(
                ("xmin", "ymin", "xmax", "ymax"), (x1 + 1, y1 + 1, x2, y2), strict=True
            )
        )
        rows.append(
            f"\t<object>\n\t\t<name>{CLASSES[VOC_CLASS[kind]]}</name>\n"
            "\t\t<pose>Unspecified</pose>\n"
            f"\t\t<truncated>0</truncated>\n\t\t<difficult>{int(number == 3)}</difficult>\n"
            f"\t\t<bndbox>\n{corners}\t\t</bndbox>\n\t</object>\n"
        )
    return (
        f"<annotation>\n\t<folder>{folder}</folder>\n\t<filename>{name}.jpg</filename>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n"
        "\t\t<depth>3</depth>\n\t</size>\n"
        f"\t<segmented>1</segmented>\n{''.join(rows)}</annotation>\n"
    )


def _counts(mask: np.ndarray) -> list[int]:
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat.astype(np.int8))) + 1
    counts = np.diff([0, *edges.tolist(), len(flat)]).tolist()
    counts = [0, *counts] if flat[0] else counts
    assert rle.decode([rle.from_uncompressed(counts, mask.shape)])[0].sum() == mask.sum()
    return counts


def _jpeg(path: Path, rgb: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgb).save(path, quality=95)


def _size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size[::-1]


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.hardlink_to(source)
