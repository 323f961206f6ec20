"""predict: a trained run on a folder of new pictures.

Out:  for each picture, at its relative path: a label map (palette PNG) and its instances (JSON); .maskdistill/ holds
      what the next call needs to go on
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from maskdistill.errors import MaskDistillError, PictureError, RunError
from maskdistill.pictures import find, prefetched, read
from maskdistill.runs import atomic, fingerprints, record
from maskdistill.runs.journal import Journal
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.lock import RunLock
from maskdistill.settings import RunSettings
from maskdistill.stages import detect, label_maps, segment
from maskdistill.stages import model as models
from maskdistill.stages.progress import Progress
from maskdistill.types import Detections, Prediction

OWN = ".maskdistill"  # in the folder of results: what they were made with, the journal, the lock


def work(root: Path, pictures: Path, out: Path, *, device: str, quiet: bool) -> dict[str, int]:
    """Predict every picture that is not predicted yet; the same command goes on where it was stopped."""
    model = models.load(root, device=device)
    paths = find(pictures, exclude=[out, root])
    own = out / OWN
    own.mkdir(parents=True, exist_ok=True)
    made_with = _made_with(RunFolder(root), model.settings)
    stamp = own / "made-with.json"
    if not stamp.exists():
        atomic.write_json(stamp, made_with)
    elif found := fingerprints.differences(_read(stamp), made_with):
        raise RunError(
            f"{out}: holds predictions of other networks or settings ({'; '.join(found)}). Give another --out"
        )
    names = targets(paths)
    counts = Counter({"predicted": 0, "done before": 0, "refused": 0})
    progress = Progress(quiet=quiet)
    with RunLock(own / "lock"), Journal(own / "parts") as journal:
        # The journal knows a picture by path, size and time: pictures may come, go and be replaced between two calls.
        keys = {path: _key(pictures, path) for path in paths}
        pending = [path for path in paths if keys[path] not in journal]
        counts["done before"] = len(paths) - len(pending)

        def load(path: str) -> np.ndarray:
            settings = model.settings
            return read(pictures / path, orientation=settings.orientation, max_megapixels=settings.max_megapixels)

        with progress.bar("predict", total=len(paths), done=counts["done before"], unit="pictures") as bar:
            for path, rgb in prefetched(pending, load, workers=model.settings.workers):
                if isinstance(rgb, PictureError):
                    counts["refused"] += 1
                    progress.say(f"left out: {rgb}")
                else:
                    write(out / names[path], path, model.predict(rgb))
                    journal.add(keys[path], {"path": path})
                    counts["predicted"] += 1
                bar.advance()
    return dict(counts)


def targets(paths: list[str]) -> dict[str, str]:
    """Where predictions go, without suffix: the path without extension, or with it where two would meet."""
    stems = Counter(str(PurePosixPath(path).with_suffix("")) for path in paths)
    return {
        path: path if stems[str(PurePosixPath(path).with_suffix(""))] > 1 else str(PurePosixPath(path).with_suffix(""))
        for path in paths
    }


def write(target: Path, path: str, prediction: Prediction) -> None:
    """TARGET.png (if there is a label map) and TARGET.json, the latter last."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if prediction.label_map is not None:
        label_maps.write(target.with_name(target.name + ".png"), prediction.label_map)
    atomic.write_json(target.with_name(target.name + ".json"), {"picture": path, **instances(prediction)})


def instances(prediction: Prediction) -> dict[str, Any]:
    """A prediction's instances as plain records: size, names, and per instance cluster, name, score, box, RLE mask."""
    found: Detections = prediction.instances
    return {
        "size": list(found.size),
        "names": prediction.names,
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


def _key(pictures: Path, path: str) -> int:
    found = (pictures / path).stat()
    return int(fingerprints.digest({"path": path, "bytes": found.st_size, "time": found.st_mtime_ns})[:15], 16)


def _made_with(folder: RunFolder, settings: RunSettings) -> dict[str, Any]:
    """The networks and clusters by fingerprint, and the settings of prediction."""
    names = ["detect/train", "segment/train", *(["recluster"] if settings.cluster.again else [])]
    entries = {name: record.read(folder.stage(name) / "stage.json") for name in names}
    made: dict[str, Any] = {name: entry.fingerprint for name, entry in entries.items() if entry is not None}
    return {**made, "detect": detect.PREDICT.parts(settings), "segment": segment.PREDICT.parts(settings)}


def _read(stamp: Path) -> dict[str, Any]:
    import json

    try:
        return dict(json.loads(stamp.read_text(encoding="utf-8")))
    except ValueError as error:
        raise MaskDistillError(f"{stamp}: damaged ({error}). Remove it, or give another --out") from error
