"""Clusters: masks to cluster ids. Before it `proposals`, after it `detector`.

Contract: descriptors(rgb, masks) or class_token_embeddings(rgb, boxes, backbone=) -> (n, d) float32;
          kmeans.scale_of, normalise, fit -> Clustering, assign, exemplars.
"""

from maskdistill.clusters import kmeans
from maskdistill.clusters.embeddings import class_token_embeddings, descriptors

__all__ = ["class_token_embeddings", "descriptors", "kmeans"]
