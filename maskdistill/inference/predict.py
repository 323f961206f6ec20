"""predict: a trained run on new pictures.

In:   the networks of a run, and a folder of pictures, files or patterns
Out:  for each picture, at its relative path: a label map (palette PNG) and its instances (JSON)
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from maskdistill.artifacts import label_maps
from maskdistill.errors import SettingsError
from maskdistill.inference import result_folder
from maskdistill.inference import trained_run as models
from maskdistill.pictures import Pictures
from maskdistill.runs import atomic, record
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.progress import Progress
from maskdistill.runs.stages import DETECT_TRAIN, RECLUSTER, SEGMENT_TRAIN
from maskdistill.stages import detect, segment
from maskdistill.types import Detections, Prediction


def work(
    root: Path,
    pictures: Pictures,
    out: Path,
    *,
    device: str,
    crf: bool,
    pages: str | None,
    quiet: bool,
) -> dict[str, int]:
    """Predict every picture that is not predicted yet; the same call goes on where it was stopped.

    Args:
        root: the run's folder.
        out: the folder of the results.
        crf: draw label maps to the edges of the picture, whatever the run's setting.
        pages: first | all; None: as the run has it.
    Returns:
        Counts: predicted, done before, refused.
    Raises:
        RunError: as `trained_run.load`, or `out` holds results of other networks or settings.
        SettingsError: other pages.
    """
    if pages not in (None, "first", "all"):
        raise SettingsError(f"pages: wanted first or all, found {pages!r}")
    model = models.load(root, device=device, crf=crf)
    progress = Progress(quiet=quiet)
    if model.segmenter is None:
        progress.say(
            f"{root}: has no trained segmenter: instances alone, no label maps. To train it: --until segment"
        )

    def predict(target: Path, path: str, rgb: np.ndarray) -> dict[str, int]:
        write(target, path, model.predict(rgb))
        return {}

    all_pages = (pages or model.settings.pages) == "all"
    made_with = _made_with(RunFolder(root), model)
    counts = result_folder.fill(
        out,
        pictures,
        predict,
        title="predict",
        made_with={**made_with, **({"pages": "all"} if all_pages else {})},
        reading=model.reading,
        all_pages=all_pages,
        settings=model.settings,
        progress=progress,
        exclude=[root],
    )
    return {"predicted": counts.pop("new"), **counts}


def write(target: Path, path: str, prediction: Prediction) -> None:
    """Write TARGET.png, if there is a label map, and then TARGET.json.

    Args:
        target: the place of the picture's results, without suffix.
        path: the picture's relative path, which stands in the JSON.
    """
    if prediction.label_map is not None:
        label_maps.write(result_folder.file_of(target, ".png"), prediction.label_map)
    atomic.write_json(
        result_folder.file_of(target, ".json"), {"picture": path, **instances(prediction)}
    )


def instances(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction's instances as records for JSON: size, names and a list of instances.

    `label_names` are there where the label map counts in other clusters than the instances do. Each
    instance has cluster, name, score, box_xyxy (half-open, px) and mask (RLE).
    """
    found: Detections = prediction.instances
    own = prediction.label_names == prediction.names or prediction.label_map is None
    return {
        "size": list(found.size),
        "names": prediction.names,
        **({} if own else {"label_names": prediction.label_names}),
        "instances": [
            {
                "cluster": int(cluster),
                "name": prediction.names[int(cluster)],
                "score": round(float(score), 6),
                "box_xyxy": [float(edge) for edge in box],
                "mask": mask,
            }
            for mask, box, score, cluster in zip(
                found.rles, found.boxes_xyxy, found.scores, found.clusters, strict=True
            )
        ],
    }


def _made_with(folder: RunFolder, model: models.Model) -> dict[str, Any]:
    """Return what predictions depend on.

    The networks and clusters by fingerprint, the settings of prediction, names of clusters where
    somebody gave some.
    """
    settings = model.settings
    names = [DETECT_TRAIN, SEGMENT_TRAIN, *([RECLUSTER] if settings.cluster.again else [])]
    entries = {name: record.read(folder.stage(name).record) for name in names}
    made: dict[str, Any] = {
        name: entry.fingerprint for name, entry in entries.items() if entry is not None
    }
    words = {"names": model.names}
    if model.label_names != model.names:
        words["label_names"] = model.label_names
    for key, own in words.items():
        if any(word != f"cluster {number}" for number, word in enumerate(own)):
            made[key] = own
    return {
        **made,
        "detect": detect.PREDICT.parts(settings),
        "segment": segment.PREDICT.parts(settings),
    }
