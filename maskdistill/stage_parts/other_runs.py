"""Other runs: what they give to a clustering, embeddings and a support set that only helps to fit.

In:   the folders of other runs, their `cluster` (or `recluster`) complete
Out:  embeddings (n, d); refusals of runs that do not fit
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskdistill.artifacts.mask_lines import MaskFile
from maskdistill.engine.job import Job
from maskdistill.errors import RunError, SettingsError, StaleError, setting
from maskdistill.runs import arrays, fingerprints, lines, record, reuse
from maskdistill.runs.layout import ClusterFolder, RunFolder
from maskdistill.runs.stages import EMBEDDINGS
from maskdistill.stage_parts.embeddings import Embedded

# Parts of a clustering that say what space its embeddings lie in.
SPACE = (
    "embedding",
    "min_side",
    "max_side",
    "backbone",
    "precision",
    "background",
    "scales",
    "flips",
    "blur",
)


def content(root: str, which: Literal["embeddings", "clusters"]) -> str:
    """Return what a file of another run's clustering is known by in a fingerprint.

    It is the digest of the file, or a word where the file is not there.
    """
    folder = RunFolder(Path(root)).cluster
    entry = record.read(folder.record)
    file = folder.embeddings if which == "embeddings" else folder.clusters
    return "missing" if entry is None else entry.outputs.get(file.name, "missing")


def embeddings(
    job: Job, parts: Mapping[str, Any], file: MaskFile, folder: ClusterFolder
) -> Embedded | None:
    """Take the embeddings of this run's own masks of another run, into the stage's folder.

    Args:
        parts: of the fingerprint of our clustering; what only concerns k-means may differ.
        file: our masks. folder: where the embeddings go.
    Returns:
        The embeddings; None where `job.sources` names no run for them.
    Raises:
        RunError: not complete there, or damaged.
        StaleError: other masks, weights or settings of the embedding.
    """
    source = job.sources.get(EMBEDDINGS)
    if source is None:
        return None
    theirs = source.cluster
    entry = check_embeddings(source, parts)
    clusters, vectors = (
        replace(entry, outputs={file.name: entry.outputs[file.name]})
        for file in (theirs.clusters, theirs.embeddings)
    )
    if record.verify(theirs.path, clusters):
        raise RunError(
            f"{theirs.path}: cannot be reused: {theirs.clusters.name} missing or changed. "
            "Leave out its --reuse"
        )
    reuse.take(theirs.path, vectors, folder.path, waiting=folder.parts.reused)
    owners = [(image.id, mask) for image in job.images for mask in range(file.n_in(image.id))]
    finite = [row.get("left_out") != "not finite" for row in lines.read(theirs.clusters)]
    job.ledger.write(
        "reuse",
        stage="cluster",
        run=str(source.root.resolve()),
        what="embeddings",
        masks=len(owners),
    )
    values = arrays.mapped(folder.embeddings)
    return Embedded(values, np.array(owners, np.int64).reshape(-1, 2), np.array(finite, bool))


def check_embeddings(source: RunFolder, parts: Mapping[str, Any]) -> record.StageRecord:
    """Return the record of another run's clustering, whose embeddings this run would make too.

    Args:
        parts: of the fingerprint of our clustering, or those that are known so far.
    Raises:
        RunError: not complete there. StaleError: made otherwise.
    """
    folder = source.cluster
    entry = record.read(folder.record)
    if entry is None:
        raise RunError(
            f"{folder.path}: not complete, so that its embeddings cannot be reused. "
            f"Complete it first: maskdistill run --out {source.root} --until cluster, "
            "or leave out its --reuse"
        )
    theirs, ours = (_of_embeddings(each) for each in (entry.parts, parts))
    if found := fingerprints.differences(
        {name: value for name, value in theirs.items() if name in ours}, ours
    ):
        raise StaleError(
            f"{folder.path} holds embeddings made otherwise than is asked for here, "
            "so that they cannot be reused:\n"
            + "\n".join(f"  {line}" for line in found)
            + "\nLeave out its --reuse, or give the settings, weights and pictures that "
            f"{source.root} has"
        )
    return entry


def _of_embeddings(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a clustering's fingerprint that its embeddings depend on."""
    settings = {name: value for name, value in parts["settings"].items() if name in SPACE}
    return {
        **{name: value for name, value in parts.items() if name != "settings"},
        "settings": settings,
    }


def support(
    job: Job, parts: dict[str, Any], weights: str | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the embeddings of another run that help to fit, None where none are asked for.

    Args:
        parts, weights: of our clustering, by which the embeddings of the other run must have been
            made too.
    Returns:
        (n, d) float32, a memory map, and the places (m,) of its masks of training pictures.
    Raises:
        SettingsError: the run has no clustering, or one made with another backbone, weights or
            embedding.
    """
    root = job.settings.cluster.support
    if not root:
        return None
    _, entry = _complete(root, "support")
    theirs: dict[str, Any] = entry.parts["settings"]
    differ = [
        f"{name}: {theirs.get(name)} there, {parts.get(name)} here"
        for name in SPACE
        if theirs.get(name) != parts.get(name)
    ]
    if entry.parts.get("weights") != weights:
        differ.append("weights: others there than here")
    if differ:
        raise SettingsError(
            f"cluster.support: the embeddings of {root} lie in another space "
            f"({'; '.join(differ)}). "
            "Cluster it with the settings and weights of this run, "
            f"or leave out {setting('cluster.support')}"
        )
    return _of_training(RunFolder(Path(root)))


def proposals(job: Job) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of this run's own proposals, to fit a clustering of detections with.

    Returns:
        (n, d) float32, a memory map, and the places (m,) of those of training pictures.
    """
    return _of_training(job.folder)


def _of_training(run: RunFolder) -> tuple[np.ndarray, np.ndarray]:
    """Return the embeddings of a run's proposals, and the places of those that may be fitted on."""
    split = {row["id"]: row["split"] for row in lines.read(run.images)}
    rows = lines.read(run.cluster.clusters)
    usable = [row.get("left_out") != "not finite" and split[row["id"]] == "train" for row in rows]
    return arrays.mapped(run.cluster.embeddings), np.flatnonzero(usable)


def check_alignment(job: Job) -> None:
    """Refuse a run `cluster.align_to` whose masks cannot overlap ours.

    Raises:
        SettingsError: it has no clustering, is of other pictures, or has them turned.
    """
    root = job.settings.cluster.align_to
    if not root:
        return
    _complete(root, "align_to")
    theirs = list(lines.read(RunFolder(Path(root)).images))
    if [row["sha256"] for row in theirs] != [image.sha256 for image in job.images]:
        raise SettingsError(
            f"cluster.align_to: {root} is a run over other pictures, so that no masks can overlap"
        )
    for row, image in zip(theirs, job.images, strict=True):
        if (
            size := (row["height"], row["width"])
        ) != image.size:  # the same files, turned by another --orientation
            raise SettingsError(
                f"cluster.align_to: {image.name} is {size[1]} x {size[0]} px in {root}, "
                f"{image.width} x {image.height} here, so that no masks can overlap. "
                f"Give a run with the {setting('orientation')} of this one"
            )


def _complete(root: str, setting: str) -> tuple[ClusterFolder, record.StageRecord]:
    """Return the folder and the record of another run's clustering of proposals.

    Raises:
        SettingsError: not complete there.
    """
    folder = RunFolder(Path(root)).cluster
    entry = record.read(folder.record)
    if entry is None:
        raise SettingsError(
            f"cluster.{setting}: {folder.path} is not complete. "
            f"Complete it first: maskdistill run --out {root} --until cluster"
        )
    return folder, entry
