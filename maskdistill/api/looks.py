"""Looks at a run that change nothing that it was made of: status, a sweep, names for clusters.

In:       the run's folder; settings as the verbs have them
Out:      rows
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskdistill.api.settings import Settings, settings_for
from maskdistill.errors import SettingsError
from maskdistill.settings import FACETS, METHODS


def status(*, out: str | Path) -> list[dict[str, Any]]:
    """Return a row a stage: stage, state, counts, seconds, why it is stale.

    The state is done, unfinished, missing or stale.
    """
    from maskdistill.workflows import status as stage

    return stage.rows(Path(out))


def sweep(
    *,
    out: str | Path,
    settings: Settings = None,
    methods: tuple[str, ...] = METHODS,
    blocks: tuple[int, ...] = (-1, -2, -3, -4),
    facets: tuple[str, ...] = FACETS,
    scales: tuple[int, ...] = (),
    n_pictures: int = 24,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Try every method x block x facet x centring x scale on a few pictures; the best row first.

    This is what a new backbone needs. Nothing of the run is changed. With ground truth rows are
    ranked by CorLoc, without by agreement under flips and crops above that with other pictures,
    and by how well the masks of one half of the pictures foretell those of the other;
    RUN/sweep/table.json holds the rows too.

    Args:
        scales: px that the shorter side is resized to (maskcut: both sides), 0: own size; none: the
            scale that the settings give each method.
    """
    from maskdistill.engine.opening import opened
    from maskdistill.measuring import sweep as stage
    from maskdistill.measuring.sweep_trials import Grid, trials_of

    chosen = settings_for(out, settings)
    if any(scale < 0 for scale in scales):
        raise SettingsError(f"scales must be px, 0 for the own size, got {min(scales)}")
    if n_pictures < 1:
        raise SettingsError(f"n_pictures must be at least 1, got {n_pictures}")
    grid = Grid(methods=methods, blocks=blocks, facets=facets, scales=scales)  # type: ignore[arg-type]
    with opened(Path(out), chosen, pictures=None, keep_config=True, quiet=quiet) as job:
        trials = trials_of(job.settings.propose, grid)
        return stage.work(job, trials=trials, n_pictures=n_pictures)


def name_clusters(
    *,
    out: str | Path,
    labelled: str | Path | Sequence[str | Path],
    settings: Settings = None,
    quiet: bool = False,
) -> list[dict[str, Any]]:
    """Name the clusters of a run by matching with a few labelled pictures of it; nothing is learnt.

    Args:
        labelled: COCO instances JSON, or a folder of label maps; one or several with one list of
            classes.
    Returns:
        A row a cluster: stage, cluster, name, masks that meet a labelled object, how many of them
        agree.
    """
    from maskdistill.engine.opening import opened
    from maskdistill.measuring import match_names as stage

    chosen = settings_for(out, settings)
    sources = [labelled] if isinstance(labelled, str | Path) else list(labelled)
    if not sources:
        raise SettingsError(
            "labelled: wanted a COCO instances JSON or a folder of label maps, found nothing"
        )
    with opened(Path(out), chosen, pictures=None, keep_config=True, quiet=quiet) as job:
        return stage.work(job, [Path(source) for source in sources])
