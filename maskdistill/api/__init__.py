"""The verbs as keyword-only functions: what the command does, a program can.

Each takes a run's folder and, where settings matter, `settings`: a nested mapping as in a YAML file, checked and
refused like one ({"propose": {"method": "tokencut"}}).
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
from maskdistill.api.runs import (
    REUSABLE,
    VERBS,
    cluster,
    demo,
    detect,
    evaluate,
    is_run,
    label,
    name_clusters,
    propose,
    report,
    run,
    scan,
    segment,
    settings_for,
    status,
    sweep,
)
from maskdistill.api.trained import (
    export,
    load,
    predict,
)

__all__ = [
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
