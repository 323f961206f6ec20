"""Clusters: masks to cluster ids.

After `proposals`, before `detector`.

Contract: descriptors(rgb, masks) -> (n, d) float32, or crops.crops(rgb, boxes, masks) and
          crops.embed(crops, backbone=); whitening.scale_of, normalise; kmeans.fit -> Clustering,
          assign; streamed.fit, of a memory map or on a GPU; number.curve, chosen; merging.merged;
          alignment.aligned; noise.far, sides_touched, like_background; summary.exemplars, means,
          spreads, nearest_others.
"""

from maskdistill.clusters import (
    alignment,
    chunks,
    crops,
    kmeans,
    merging,
    noise,
    number,
    streamed,
    summary,
    whitening,
)
from maskdistill.clusters.handmade import descriptors

__all__ = [
    "alignment",
    "chunks",
    "crops",
    "descriptors",
    "kmeans",
    "merging",
    "noise",
    "number",
    "streamed",
    "summary",
    "whitening",
]
