"""A made-up run for the page: drawn pictures, discs as masks, numbers from a generator."""

from collections.abc import Callable

import numpy as np

from maskdistill.report.colours import palette
from maskdistill.report.content import (
    Alarm,
    ClusterGallery,
    LedgerEvent,
    ReportContent,
    Sheet,
    StageSummary,
    Story,
    Tile,
)
from maskdistill.report.overlays import crop_exemplar, overlay_label_map, overlay_masks, thumbnail

Picture = tuple[
    np.ndarray, np.ndarray, np.ndarray
]  # rgb (H, W, 3) uint8, masks (n, H, W) bool, clusters (n,) int64


def drawn_picture(
    rng: np.random.Generator, *, height: int = 120, width: int = 176, n_masks: int = 3
) -> Picture:
    """Discs of one colour each on a noisy slope."""
    rows, cols = np.mgrid[:height, :width]
    rgb = np.stack([rows + 40, cols // 2 + 60, (rows + cols) // 3 + 40], axis=-1) + rng.normal(
        0, 12, (height, width, 3)
    )
    masks = np.zeros((n_masks, height, width), bool)
    for mask in masks:
        row, col, radius = (
            rng.integers(20, height - 20),
            rng.integers(20, width - 20),
            rng.integers(10, 34),
        )
        mask[:] = (rows - row) ** 2 + (cols - col) ** 2 <= radius**2
        rgb[mask] = rng.integers(0, 255, 3) + rng.normal(0, 25, (int(mask.sum()), 3))
    return rgb.clip(0, 255).astype(np.uint8), masks, rng.integers(0, 6, n_masks)


def content(
    rng: np.random.Generator,
    *,
    n_tiles: int = 6,
    tile_px: int = 120,
    draw: Callable[[np.random.Generator], Picture] = drawn_picture,
) -> ReportContent:
    """A ReportContent with every part filled."""
    pictures = [draw(rng) for _ in range(n_tiles)]
    colours = palette(6)
    names = ["striped disc", "cluster 1", "cluster 2", "cluster 3", "cluster 4", "cluster 5"]
    tiles: dict[str, list[Tile]] = {
        "propose": [],
        "cluster": [],
        "detect": [],
        "label": [],
        "segment": [],
    }
    for place, (rgb, masks, clusters) in enumerate(pictures):
        path, small = f"holiday/IMG_{place:04}.jpg", thumbnail(rgb, tile_px)
        scores = rng.uniform(0.3, 1, len(masks))
        label_map = _painted(masks, clusters)
        tiles["propose"].append(
            Tile(image=overlay_masks(small, masks), path=path, caption=f"{len(masks)}")
        )
        tiles["cluster"].append(Tile(image=overlay_masks(small, masks, clusters), path=path))
        tiles["detect"].append(
            Tile(
                image=overlay_masks(small, masks, clusters, scores),
                path=path,
                caption=f"{scores.max():.2f}",
            )
        )
        for stage in ("label", "segment"):
            tiles[stage].append(Tile(image=overlay_label_map(small, label_map), path=path))
    stories = [
        Story(
            path=f"holiday/IMG_{place:04}.jpg",
            picture=thumbnail(rgb, 2 * tile_px),
            proposals=overlay_masks(thumbnail(rgb, 2 * tile_px), masks),
            detections=overlay_masks(thumbnail(rgb, 2 * tile_px), masks, clusters),
            label_map=overlay_label_map(thumbnail(rgb, 2 * tile_px), _painted(masks, clusters)),
        )
        for place, (rgb, masks, clusters) in enumerate(pictures[:2])
    ]
    galleries = [
        _gallery(cluster, names[cluster], tuple(int(v) for v in colours[1 + cluster]), pictures)
        for cluster in range(6)
    ]
    return ReportContent(
        title="photos",
        subtitle="94 pictures of ~/photos · 24 November 2026 · maskdistill 0.1.0",
        notices=[
            "The weights of propose are supervised: they were trained with labels of ImageNet."
        ],
        facts=[
            ("pictures", "94"),
            ("device", "cpu, 2 threads"),
            ("backbone", "timm/vit_tiny_patch16_224"),
            ("preset", "quick"),
            ("seed", "0"),
        ],
        stages=[
            StageSummary(
                name="scan",
                does="Finds the pictures and freezes their order.",
                counts={"pictures": 94, "refused": 2},
                seconds=1.3,
            ),
            StageSummary(
                name="propose",
                does="Guesses objects from the attention of a network.",
                counts={"masks": 12812},
                seconds=81.0,
            ),
            StageSummary(
                name="cluster",
                does="Gathers masks that look alike.",
                counts={"clusters": 6, "largest": 1112},
                seconds=12.0,
                warnings=[
                    Alarm(
                        what="Everything is in one cluster: cluster 0 holds 87% of 12812 masks.",
                        advice="Try another embedding.",
                    )
                ],
            ),
            StageSummary(
                name="detect",
                does="Learns to find such objects.",
                counts={"detections": 4301, "steps": 300},
                seconds=4000.0,
            ),
            StageSummary(
                name="label", does="Paints confident detections.", counts={"maps": 91}, seconds=2.0
            ),
            StageSummary(
                name="segment",
                does="Learns to name each pixel.",
                counts={"predictions": 40},
                state="partial",
            ),
            StageSummary(name="evaluate", does="Compares with the ground truth.", state="missing"),
        ],
        stories=stories,
        sheets=[
            Sheet(stage=stage, caption=f"{len(some)} pictures, drawn by the seed", tiles=some)
            for stage, some in tiles.items()
        ],
        clusters=galleries,
        losses={network: _losses(rng) for network in ("detect", "segment")},
        masks_per_picture={
            "propose": rng.integers(0, 6, 94).tolist(),
            "detect": rng.integers(0, 9, 94).tolist(),
        },
        coverage={"label": rng.beta(2, 4, 94).tolist(), "segment": rng.beta(2, 3, 94).tolist()},
        metrics=_metrics(),
        published=[
            {"name": "mIoU", "value": 0.458, "source": "a paper", "protocol": "not comparable"},
            {"name": "IoU/cat", "value": 0.123, "source": "another", "protocol": "not comparable"},
        ],
        weights=[
            {
                "stage": "propose",
                "weights": "dino_vits16",
                "licence": "Apache-2.0",
                "source": "its LICENSE",
            }
        ],
        confusion=(
            "Where the pixels went",
            ["background", "$x$"],
            np.array([[9, 1, 0], [2, 3, 1]]),
        ),
        settings={
            "seed": 0,
            "device": "auto",
            "weights": {},
            "propose": {
                "backbone": "timm/vit_tiny_patch16_224",
                "method": "maskdistill",
                "maskdistill": {"short_side": 480, "mass": 0.5},
            },
            "cluster": {"embedding": "class_token", "whiten": True, "k": 0},
            "detect": {"size": "small", "train": {"steps": 300, "learning_rate": 0.001}},
        },
        versions={
            "maskdistill": "0.1.0",
            "python": "3.11.2",
            "torch": "2.15.0",
            "torchvision": "0.29.2",
            "numpy": "2.4.0",
        },
        events=[
            LedgerEvent(time="08:12:01", kind="start", stage="scan", what="on cpu, 2 threads"),
            LedgerEvent(
                time="08:13:40",
                kind="warning",
                stage="propose",
                what="the solver fell back to the dense one in 3 pictures",
            ),
            LedgerEvent(time="08:31:02", kind="resume", stage="detect", what="at step 120"),
        ],
        refused=[
            ("old/broken.jpg", "cut short: 1024 of 48220 bytes"),
            ("notes.jpg", "not a picture"),
        ],
    )


def _painted(masks: np.ndarray, clusters: np.ndarray) -> np.ndarray:
    label_map = np.zeros(masks.shape[1:], np.uint8)
    for mask, cluster in zip(masks, clusters, strict=True):
        label_map[mask] = 1 + cluster
    return label_map


def _gallery(
    cluster: int, name: str, colour: tuple[int, int, int], pictures: list[Picture]
) -> ClusterGallery:
    crops = []
    for rgb, masks, clusters in pictures:
        for mask in masks[clusters == cluster]:
            if mask.any():
                rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
                crops.append(
                    crop_exemplar(
                        rgb, mask, np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1]), 96
                    )
                )
    return ClusterGallery(
        cluster=cluster, name=name, colour=colour, size=1112 // (cluster + 1), crops=crops[:12]
    )


def _losses(rng: np.random.Generator) -> list[dict[str, float]]:
    steps = np.arange(1, 301)
    mask, box = (
        scale * np.exp(-steps / 90) + floor + rng.gamma(2, 0.05, 300)
        for scale, floor in ((1.5, 0.3), (0.7, 0.2))
    )
    return [
        {"step": int(s), "loss_mask": float(m), "loss_box_reg": float(b)}
        for s, m, b in zip(steps, mask, box, strict=True)
    ]


def _metrics() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for split, lift in (("train", 0.02), ("validation", 0.0)):
        for stage, name, value in (
            ("baseline:whole", "mean_best_iou", 0.143),
            ("baseline:centre", "mean_best_iou", 0.201),
            ("propose", "CorLoc", 0.581),
            ("propose", "mean_best_iou", 0.387),
            ("propose", "AP50_agnostic", 0.262),
            ("cluster", "cluster_accuracy", 0.412),
            ("detect", "AP50_agnostic", 0.318),
            ("detect", "AP50", 0.121),
            ("label", "mIoU", 0.332),
            ("segment", "mIoU", 0.371),
            *(
                ("segment", f"IoU/{word}", iou)
                for word, iou in (
                    ("background", 0.81),
                    ("cat", 0.52),
                    ("dining table", 0.07),
                    ("$x$", 0.3),
                )
            ),
        ):
            centre = value + lift
            interval = None if stage.startswith("baseline") else [centre - 0.04, centre + 0.045]
            rows.append(
                {
                    "stage": stage,
                    "name": name,
                    "split": split,
                    "value": centre,
                    "interval": interval,
                    "pictures": 64,
                    "protocol": "occurring",
                }
            )
    return rows
