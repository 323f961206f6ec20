"""Verbs as keyword-only functions: a program can do all that the command does.

In:       a run's folder and, where settings matter, `settings`: a nested mapping as in a YAML file,
          checked and refused like one ({"propose": {"method": "tokencut"}})
Above:    cli, the command
Below:    workflows (runs), inference (trained runs, masks without a run), measuring, downloads
"""

from maskdistill.api.alone import (
    discover,
    masks,
)
from maskdistill.api.files import (
    fetch,
    score_instances,
    score_semantic,
    voc_instances,
)
from maskdistill.api.looks import (
    name_clusters,
    status,
    sweep,
)
from maskdistill.api.runs import (
    REUSABLE,
    cluster,
    demo,
    detect,
    evaluate,
    label,
    propose,
    report,
    run,
    scan,
    segment,
)
from maskdistill.api.settings import is_run, settings_for
from maskdistill.api.trained import (
    export,
    load,
    predict,
)
from maskdistill.runs.stages import HELP, VERBS

__all__ = [
    "HELP",
    "REUSABLE",
    "VERBS",
    "cluster",
    "demo",
    "detect",
    "discover",
    "evaluate",
    "export",
    "fetch",
    "is_run",
    "label",
    "load",
    "masks",
    "name_clusters",
    "predict",
    "propose",
    "report",
    "run",
    "scan",
    "score_instances",
    "score_semantic",
    "segment",
    "settings_for",
    "status",
    "sweep",
    "voc_instances",
]
