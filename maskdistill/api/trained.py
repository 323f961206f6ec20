"""Trained runs in use: their networks on new pictures, their masks as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskdistill.inference.trained_run import Model


def load(run_or_model: str | Path, *, device: str = "auto", crf: bool = False) -> Model:
    """Return the networks that a run trained, ready to `predict(picture)`.

    Args:
        run_or_model: a run's folder, or that of a model.
        device: auto, cpu, cuda, cuda:N.
        crf: draw label maps to the edges of the picture by a dense CRF, as the paper does.
    Raises:
        RunError: nothing trained there.
    """
    from maskdistill.inference import trained_run

    return trained_run.load(Path(run_or_model), device=device, crf=crf)


def predict(
    *,
    run: str | Path,
    pictures: str | Path | Sequence[str | Path],
    out: str | Path,
    device: str = "auto",
    crf: bool = False,
    pages: str | None = None,
    quiet: bool = False,
) -> dict[str, int]:
    """Write label maps (palette PNG) and instances (JSON) of new pictures, at their relative paths.

    Args:
        run: a run's folder, or that of a model.
        pictures: a folder, searched recursively; a file; a pattern ("new/*.jpg"); or several of
            these, whose results stand at the paths relative to the deepest folder that holds all.
        out: folder for the results; the same call goes on where it was stopped.
        device: auto, cpu, cuda, cuda:N.
        crf: draw label maps to the edges of the picture by a dense CRF, whatever the run's setting.
        pages: first or all, of stacks, animations and MPO files; None: as the run has it. Each page
            has its own results, those of the second one at `stack.tif#2`.
    Returns:
        Counts: predicted, done before, refused.
    """
    from maskdistill.inference import predict as stage
    from maskdistill.pictures import check

    check(pictures)  # before the networks are read
    return stage.work(
        Path(run), pictures, Path(out), device=device, crf=crf, pages=pages, quiet=quiet
    )


def export(
    *,
    run: str | Path,
    of: str = "detections",
    out: str | Path | None = None,
    polygons: bool = False,
) -> Path:
    """Write proposals, pool or detections as one COCO dataset file; return its path.

    Args:
        run: the run's folder.
        of: detections, proposals, or pool: all masks that were pooled, each with its sources.
        out: the file; None: RUN/export/coco-<of>.json.
        polygons: outlines (tolerance 2 px, holes filled, as in the paper's files) in place of run
            lengths; masks too small for one are left out, and told.
    """
    from maskdistill.inference import export as stage

    return stage.coco(Path(run), of=of, out=Path(out) if out else None, polygons=polygons)
