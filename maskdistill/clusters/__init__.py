"""Clusters: masks to cluster ids. Before it `proposals`, after it `detector`.

Contract: descriptors(rgb, masks) or class_token_embeddings(rgb, boxes, backbone=) -> (n, d) float32;
          whitening.scale_of, normalise; kmeans.fit -> Clustering, assign;
          summary.exemplars, spreads, nearest_others.
"""

from maskdistill.clusters import kmeans, summary, whitening
from maskdistill.clusters.embeddings import class_token_embeddings, descriptors

__all__ = ["class_token_embeddings", "descriptors", "kmeans", "summary", "whitening"]
