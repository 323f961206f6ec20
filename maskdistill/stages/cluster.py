"""cluster: masks -> cluster ids, fitted on the training pictures, assigned to all.

In:   propose/proposals.jsonl (or detect/detections.jsonl for recluster) and the pictures
Out:  embeddings.npy, clusters.jsonl (id, mask, cluster), centroids.npy, clusters.json
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from maskdistill.artifacts import clusterings, weights_used
from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.engine.job import Image, Job
from maskdistill.engine.stage import Done, Stage, parts_of
from maskdistill.errors import TrainingError, setting
from maskdistill.runs import arrays, atomic, lines
from maskdistill.runs.layout import ClusterFolder
from maskdistill.runs.stages import RECLUSTER
from maskdistill.settings import RunSettings
from maskdistill.settings.cluster import ClusterSettings
from maskdistill.stage_parts import aligned_ids, embeddings, other_runs
from maskdistill.stage_parts.embeddings import Embedded
from maskdistill.types import Detections

HINTS = {
    "cluster": (
        f"Try a lower {setting('propose.min_score')}, another {setting('propose.method')}, "
        "or another backbone"
    ),
    RECLUSTER: (
        f"The detector finds nothing: train it longer ({setting('detect.train.steps')}), "
        f"or lower {setting('detect.min_score')}"
    ),
}


# Raised with every change of the descriptors made by hand; 2: masks are shrunk by masks/resize.
DESCRIPTORS = 2


def parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the clusters' ids."""
    own = settings.cluster
    counted: dict[str, Any] = {
        "embedding": own.embedding,
        "max_side": own.max_side,
        "k": own.k,
        **({"k_most": own.k_most, "rule": "2 errors"} if own.k == "auto" else {}),
        **({"merge_from": own.merge_from} if own.merge_from else {}),
        "kmeans": own.kmeans,
        "restarts": own.restarts,
        **({"solver": own.solver} if own.solver != "auto" else {}),
        "whiten": own.whiten,
    }
    if own.whiten and own.whitening == "pca":
        counted["pca_dims"] = own.pca_dims
    counted |= {
        name: getattr(own, name)
        for name in ("flag_far", "flag_border", "flag_area", "flag_score", "drop")
    }
    if own.exemplars != ClusterSettings.exemplars:  # it was no setting once
        counted["exemplars"] = own.exemplars
    if own.support:
        counted["support"] = other_runs.content(own.support, "embeddings")
    if own.align_to:
        counted["align_to"] = other_runs.content(own.align_to, "clusters")
    if own.embedding == "descriptors":
        counted["descriptors"] = DESCRIPTORS
    else:
        counted |= {"backbone": own.backbone, "precision": settings.precision}
        counted |= {"background": own.background, "scales": list(own.scales), "flips": own.flips}
        if own.min_side:
            counted["min_side"] = own.min_side
        if own.background == "blur":
            counted["blur"] = own.blur
    return {**counted, "seed": settings.seed_of_chain}


def again_parts(settings: RunSettings) -> dict[str, Any]:
    """Return the settings that change the ids of the detections."""
    # Only where it is given: clusterings that were made before it are the same.
    more = {"again_with": "proposals"} if aligned_ids.with_proposals(settings) else {}
    return {**parts(settings), "again_min_score": settings.cluster.again_min_score, **more}


def weights(job: Job) -> str | None:
    """Return the digest of the embedding's weights, None where it has none."""
    from maskdistill.engine import networks

    own = job.settings.cluster
    return networks.digest(job, "cluster", own.backbone) if own.embedding != "descriptors" else None


def work(job: Job, folder: ClusterFolder) -> Done:
    """Embed every mask, fit k-means on those of training pictures, assign the others.

    Raises:
        TrainingError: there is no mask to fit on, or not one embedding is finite.
    """
    from maskdistill.clusters import summary
    from maskdistill.stage_parts import fit_clusters, noise_flags, whitened

    own, name = job.settings.cluster, folder.path.name
    file = MaskFile(clusterings.made_by(job.folder, name).masks)
    made_of = parts_of(again(job.settings) if name == RECLUSTER else STAGE, job)
    counted = made_of["settings"]
    other_runs.check_alignment(job)  # before the embeddings, which may take hours
    other = other_runs.support(job, counted, made_of.get("weights"))
    supporting = [] if other is None else [other]
    if name == RECLUSTER and aligned_ids.with_proposals(job.settings):
        supporting.append(other_runs.proposals(job))
    taken = other_runs.embeddings(job, made_of, file, folder) if name == "cluster" else None
    embedded = taken or embeddings.of_masks(job, folder, file)
    fits = _fitted_on(job, name, file, embedded)
    left_out = {int(row): "not finite" for row in np.flatnonzero(~embedded.finite)}
    if left_out:
        job.ledger.write(
            "warning",
            stage=name,
            what=f"{len(left_out)} embeddings are not finite: left out of training",
        )
    rows = whitened.whitened(own, embedded.values, fits, supporting, parts=folder.parts)
    space, normalised, learnt = rows.space, rows.all, rows.learnt
    fitted = fit_clusters.fit(job, name, learnt)
    if (model := aligned_ids.model_of(job, name)) is not None:
        found = fitted.assign(normalised)
        fitted = fitted.renamed(aligned_ids.names_as(job.images, file, found, fitted.k, model))
        job.ledger.write("note", stage=name, what="ids aligned", value=own.align_to or model.stage)
    ids = fitted.assign(normalised)
    arrays.write(folder.centroids, fitted.centroids)
    if space.projection is not None:
        arrays.write(folder.projection, space.projection)
    flags = noise_flags.flags(job, file, fitted, normalised, ids, fits)
    if own.drop:
        left_out = noise_flags.dropped(job, name, flags, ids, left_out, fits)
    lines.write(folder.clusters, _rows(embedded.owners, ids, left_out, flags.far))
    middles = summary.means(learnt, fitted.assign(learnt), fitted.k)
    described = _described(job, normalised, ids, middles, embedded.owners)
    sizes = np.bincount(ids, minlength=fitted.k).tolist()
    head = {
        "k": fitted.k,
        "sizes": sizes,
        "fitted_on": np.bincount(ids[fits], minlength=fitted.k).tolist(),
        "left_out": dict(Counter(left_out.values())),
        "flags": flags.clusters,
        "far": int(flags.far.sum()),
        "inertia": round(fitted.inertia, 6),
        "centroids": folder.centroids.name,
        "groups": fitted.groups.tolist(),
        "curve": fitted.curve,
        "settings": counted,
        "weights": weights_used.used(job.settings, ["cluster"])[0],
        "supported_by": sum(len(places) for _, places in supporting),
        "scale": None if space.scale is None else [float(value) for value in space.scale],
        "projection": None if space.projection is None else folder.projection.name,
    }
    atomic.write_json(folder.about, {**head, **described})
    counts = {"masks": file.n_masks, "clusters": fitted.k, "largest": max(sizes)}
    if flags.any():
        counts["flagged"] = flags.count(ids)
    if left_out:
        counts["left_out"] = len(left_out)
    outputs = [folder.embeddings, folder.clusters, folder.centroids, folder.about]
    return Done(
        outputs=[*outputs, *([folder.projection] if space.projection is not None else [])],
        counts=counts,
    )


def _fitted_on(job: Job, name: str, file: MaskFile, embedded: Embedded) -> np.ndarray:
    """Return which of the n masks k-means is fitted on, (n,) bool.

    Raises:
        TrainingError: there are no masks, none in training pictures, or none with an embedding.
    """
    if not file.n_masks:
        raise TrainingError(
            f"{file.path}: no masks in the {len(job.images)} pictures, so there is nothing to "
            f"cluster. {HINTS[name]}"
        )
    is_train = np.array([image.split == "train" for image in job.images])[embedded.owners[:, 0] - 1]
    if not is_train.any():
        raise TrainingError(
            f"{file.path}: no masks in the pictures to learn from, so there is nothing to cluster. "
            f"{HINTS[name]}"
        )
    if not (is_train & embedded.finite).any():
        raise TrainingError(
            f"{file.path}: not one of the embeddings of {file.n_masks} masks is finite. "
            "Half precision overflows, damaged weights give nan: "
            f"try {setting('precision', 'float32')}, or other {setting('weights', 'cluster=')}"
        )
    usable = is_train & embedded.finite
    if name == "cluster":
        return usable
    # Detections below the threshold of the label maps are assigned too, but would blur the
    # centroids.
    own = job.settings.cluster.again_min_score
    assert own is not None  # of resolved settings
    confident = usable & (_scores(file, job.images) >= own)
    if confident.any():
        return confident
    job.ledger.write(
        "warning", stage=name, what=f"no detection reaches {own}: fitted on all of them"
    )
    return usable


def _rows(
    owners: np.ndarray, ids: np.ndarray, left_out: Mapping[int, str], far: np.ndarray
) -> Iterator[dict[str, Any]]:
    """Yield the lines of clusters.jsonl.

    `far` stands where a mask is flagged itself, `left_out` says why it is not trained on.
    """
    for row, ((number, mask), cluster) in enumerate(
        zip(owners.tolist(), ids.tolist(), strict=True)
    ):
        why: dict[str, Any] = {"far": True} if far[row] else {}
        if row in left_out:
            why["left_out"] = left_out[row]
        yield {"id": number, "mask": mask, "cluster": cluster, **why}


def _described(
    job: Job, normalised: np.ndarray, ids: np.ndarray, centroids: np.ndarray, owners: np.ndarray
) -> dict[str, Any]:
    """Return the part of clusters.json that describes each cluster.

    Exemplars are [picture id, number of the mask].
    """
    from maskdistill.clusters import summary

    shown = summary.exemplars(
        normalised,
        ids,
        centroids,
        count=job.settings.cluster.exemplars,
        seed=job.settings.seed_of_chain,
    )
    return {
        "spread": summary.spreads(normalised, ids, centroids),
        "nearest_other": summary.nearest_others(centroids),
        "exemplars": [{kind: owners[rows].tolist() for kind, rows in one.items()} for one in shown],
    }


def _scores(file: MaskFile, images: list[Image]) -> np.ndarray:
    """Return the scores of all masks in file order, (n,) float32."""
    return np.array(
        [mask["score"] for image in images for mask in file.masks(image.id)], np.float32
    )


def assigner(
    job: Job, own: clusterings.Clustering
) -> Callable[[np.ndarray, Detections], np.ndarray]:
    """Return the function that gives detections in a new picture their clusters.

    Args:
        own: the clustering whose clusters they are.
    Returns:
        From a picture (H, W, 3) uint8 and n detections in it to their clusters (n,) int64.
    """
    from maskdistill.clusters import kmeans, whitening
    from maskdistill.stage_parts import whitened

    embed = embeddings.embedder(job)
    centroids, groups = np.load(own.folder.centroids), own.about().get("groups")
    space = whitened.read(own.folder)

    def assign(rgb: np.ndarray, found: Detections) -> np.ndarray:
        masks = [
            {"rle": mask, "box": box.tolist()}
            for mask, box in zip(found.rles, found.boxes_xyxy, strict=True)
        ]
        nearest = kmeans.assign(space(whitening.finite(embed(rgb, masks))), centroids)
        return nearest if groups is None else np.array(groups, np.int64)[nearest]

    return assign


STAGE = Stage(
    name="cluster", version=3, reads=("scan", "propose"), parts=parts, work=work, weights=weights
)


def again(settings: RunSettings) -> Stage:
    """Return the second clustering; it reads the first one where it takes its ids from there."""
    first = aligned_ids.by_first_clustering(settings)
    reads_first = first or aligned_ids.with_proposals(settings)
    return Stage(
        name=RECLUSTER,
        # Version 4 is the alignment: clusterings without it are as they were.
        version=4 if first else 3,
        reads=("scan", "propose", "cluster", "detect") if reads_first else ("scan", "detect"),
        parts=again_parts,
        work=work,
        weights=weights,
    )
