"""Page pictures: the contact sheets, the stories and the clusters' exemplars, overlays painted.

In:   PageSources
Out:  records of report/content.py with RGB thumbnails
"""

from __future__ import annotations

import numpy as np

from maskdistill.artifacts import cluster_names, clusterings, label_maps
from maskdistill.engine.job import Image
from maskdistill.labels import select
from maskdistill.masks import rle
from maskdistill.report import overlays
from maskdistill.report.colours import palette
from maskdistill.report.content import ClusterGallery, Sheet, Story, Tile
from maskdistill.runs.stages import RECLUSTER
from maskdistill.stage_parts.page_sources import PageSources

STORIES = 4  # pictures at the head of the page
TRUSTED_FROM = 0.5  # score of a mask that speaks for a picture at the head
EXEMPLARS, EXEMPLARS_OF_MANY, MANY = 8, 4, 40  # crops a cluster; of more than MANY clusters fewer
CROP_PX = 96  # side of an exemplar
CAPTIONS = {
    "propose": "Proposals, coloured by cluster.",
    "detect": "Detections that label maps are painted of: {painted}. Fainter where less certain.",
    "label": "Label maps: what the segmenter is trained on.",
    "segment": "Predictions of the segmenter.",
}


class PagePictures:
    """The pictures of the page, the same ones for every stage; each is read once."""

    def __init__(self, sources: PageSources) -> None:
        self.sources = sources
        self.side = sources.job.settings.report.tile_px
        read = {image.id: (image, sources.picture(image)) for image in self._spread()}
        self.images = [image for image, rgb in read.values() if rgb is not None]
        self.rgb = {number: rgb for number, (_, rgb) in read.items() if rgb is not None}

    def sheets(self) -> list[Sheet]:
        """Return a contact sheet of each stage that is there."""
        return [
            Sheet(
                stage=stage,
                caption=self._caption(stage, caption).format(painted=self._painted()),
                tiles=[
                    Tile(
                        image=self._overlay(stage, image),
                        path=image.name,
                        caption="validation" if image.split == "validation" else "",
                    )
                    for image in self.images
                ],
            )
            for stage, caption in CAPTIONS.items()
            if self.sources.records[stage]
        ]

    def _painted(self) -> str:
        """Return which detections the run paints, in words."""
        own = self.sources.job.settings.label
        least = f"score at least {own.min_score:g}"
        return f"{least}, or the best one of a picture without such" if own.keep_best else least

    def stories(self) -> list[Story]:
        """Return some pictures with what each stage made of them, the most confident first."""
        return [self._story(image) for image in self._best()]

    def galleries(self) -> list[ClusterGallery]:
        """Return the exemplars of the clusters of the label maps, nearest to the centroid first."""
        sources = self.sources
        is_last = sources.records[RECLUSTER] and sources.not_learnt is None
        stage = RECLUSTER if is_last else "cluster"  # that label maps count in
        if not sources.records[stage]:
            return []
        clustering = clusterings.made_by(sources.folder, stage)
        file = sources.files["detect" if clustering.of == "detections" else "propose"]
        assert file is not None
        found = clustering.about()
        colours = palette(max(found["k"], 1))
        images = {image.id: image for image in sources.job.images}
        words = cluster_names.of(clustering.folder)
        per_cluster = EXEMPLARS if found["k"] <= MANY else EXEMPLARS_OF_MANY
        galleries = []
        for cluster, exemplars in enumerate(found["exemplars"]):
            crops = []
            for number, row in exemplars["nearest"][:per_cluster]:
                rgb = sources.picture(images[number])
                if rgb is not None:
                    mask = file.masks(number)[row]
                    inside, box = rle.decode([mask["rle"]])[0], np.array(mask["box"])
                    crops.append(overlays.crop_exemplar(rgb, inside, box, CROP_PX))
            red, green, blue = colours[1 + cluster].tolist()
            galleries.append(
                ClusterGallery(
                    cluster=cluster,
                    name=words[cluster],
                    colour=(red, green, blue),
                    size=found["sizes"][cluster],
                    crops=crops,
                    flags=found["flags"][cluster] if "flags" in found else (),
                )
            )
        return galleries

    def _caption(self, stage: str, caption: str) -> str:
        """Return what stands above a sheet; of label maps also why they are of proposals."""
        failed = self.sources.not_learnt if stage == "label" else None
        if failed is None:
            return caption
        return f"{caption} {failed.sentence[0].upper()}{failed.sentence[1:]}."

    def _spread(self) -> list[Image]:
        """Return the pictures of the contact sheets, spread evenly over all."""
        images = self.sources.job.images
        count = min(self.sources.job.settings.report.tiles, len(images))
        if not count:
            return []
        return [images[round(position)] for position in np.linspace(0, len(images) - 1, count)]

    def _best(self) -> list[Image]:
        """Return the pictures with the most confident detections, else proposals."""
        file = self.sources.files["detect"] or self.sources.files["propose"]
        if file is None:
            return self.images[:STORIES]
        trust = {
            image.id: sum(
                mask["score"] for mask in file.masks(image.id) if mask["score"] > TRUSTED_FROM
            )
            for image in self.images
        }
        return sorted(self.images, key=lambda image: -trust[image.id])[:STORIES]

    def _story(self, image: Image) -> Story:
        made = {
            stage: self._overlay(stage, image) if self.sources.records[stage] else None
            for stage in ("propose", "detect", "segment")
        }
        return Story(
            path=image.name,
            picture=overlays.thumbnail(self.rgb[image.id], self.side),
            proposals=made["propose"],
            detections=made["detect"],
            label_map=made["segment"],
        )

    def _overlay(self, stage: str, image: Image) -> np.ndarray:
        """Return a thumbnail with what a stage made of a picture."""
        sources, small = self.sources, overlays.thumbnail(self.rgb[image.id], self.side)
        if stage in ("label", "segment"):
            folder = sources.folder.label if stage == "label" else sources.folder.segment
            path = folder.map_of(image.id)
            if not path.exists():
                return small
            return overlays.overlay_label_map(small, label_maps.read(path))
        file = sources.files[stage]
        assert file is not None
        rows = list(enumerate(file.masks(image.id)))
        if stage == "detect":
            # All of them, thousands of low score, would hide what the run goes on with.
            scores = np.array([mask["score"] for _, mask in rows], np.float32)
            own = sources.job.settings.label
            kept = select(scores, min_score=own.min_score, keep_best=own.keep_best)
            rows = [rows[place] for place in kept]
        if not rows:
            return small
        masks = rle.decode([mask["rle"] for _, mask in rows])
        ids = sources.ids[stage]
        clusters = [ids.get((image.id, at), mask.get("cluster", at)) for at, mask in rows]
        scores = np.array([mask["score"] for _, mask in rows])
        return overlays.overlay_masks(small, masks, np.array(clusters), scores)
