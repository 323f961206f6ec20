"""Opening a run: its folder locked, its settings written down or read, its ledger begun.

In, out:  config.yaml, lock, ledger.jsonl
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

import maskdistill
from maskdistill.engine.job import Job
from maskdistill.errors import MaskDistillError, PictureError, RunError, SettingsError
from maskdistill.runs import atomic
from maskdistill.runs.layout import RunFolder
from maskdistill.runs.ledger import Ledger
from maskdistill.runs.lock import RunLock
from maskdistill.runs.progress import Progress
from maskdistill.settings import DESCRIBES, RunSettings, as_dict, dump, resolve, validate
from maskdistill.settings.run import is_name


@contextmanager
def opened(
    root: Path,
    settings: RunSettings,
    *,
    pictures: Path | None,
    quiet: bool = False,
    keep_config: bool = False,
    only: tuple[str, ...] = (),
) -> Iterator[Job]:
    """Open a run's folder: lock it, write its config.yaml, begin its ledger; make it if it is new.

    The process's thread count is that of the settings inside, and afterwards that of before.

    Args:
        pictures: the picture folder; None: the one that config.yaml names.
        keep_config: leave config.yaml as it is: nothing of the run is made with these settings.
        only: names of the settings that are written; the others stay as the run was made with them.
    Raises:
        SettingsError: settings that do not go together.
        WeightsError: a file of weights is not there.
        RunError: no run there and no pictures given, a file in the folder's place, another process
            works at the run.
        PictureError: the picture folder is not there.
    """
    try:
        settings = resolve(settings)
    except ValueError as error:
        raise SettingsError(str(error)) from error
    _check_files(settings)
    folder = RunFolder(Path(root))
    before = read_config(folder) if folder.config.exists() else {}
    roots = _roots(folder, settings, pictures, before)
    if folder.root.exists() and not folder.root.is_dir():
        raise RunError(
            f"{root}: is a file, where the folder of a run is wanted. Give another --out"
        )
    atomic.make_folder(folder.root)
    with threads(settings.threads) as n_threads, RunLock(folder.lock):
        ledger, progress = Ledger(folder.ledger), Progress(quiet=quiet)
        job = Job(settings=settings, folder=folder, ledger=ledger, progress=progress, roots=roots)
        text = _config(settings, before, pictures=roots["pictures"], only=only)
        written = folder.config.read_text(encoding="utf-8") if folder.config.exists() else None
        if written != text and not keep_config:
            atomic.write_text(folder.config, text)
        ledger.write("open", versions=versions(), device=settings.device, threads=n_threads)
        try:
            yield job
        except MaskDistillError:
            # Nothing was made with the new settings: config.yaml says what the run was made with.
            if written is not None and not job.begun and not keep_config:
                atomic.write_text(folder.config, written)
            raise


@contextmanager
def threads(wanted: int) -> Iterator[int]:
    """Set torch's thread count inside, yield it, and put back afterwards the one of before.

    Args:
        wanted: threads; 0: as many as torch has.
    """
    import torch

    before = torch.get_num_threads()
    if wanted:
        torch.set_num_threads(wanted)
    try:
        yield torch.get_num_threads()
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def read_config(folder: RunFolder) -> dict[str, Any]:
    """Return config.yaml of a run as nested dict.

    Raises:
        RunError: there is none, or it cannot be read.
    """
    try:
        loaded = yaml.safe_load(folder.config.read_text(encoding="utf-8"))
        if not isinstance(loaded, dict):
            found = "nothing" if loaded is None else type(loaded).__name__
            raise ValueError(f"wanted settings by name, found {found}")
    except FileNotFoundError as error:
        raise RunError(
            f"{folder.root}: not the folder of a run (no config.yaml). "
            f"Start one: maskdistill run PICTURES --out {folder.root}"
        ) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunError(
            f"{folder.config}: cannot be read: {error}. Is {folder.root} the folder of a run?"
        ) from error
    return loaded


def configured(root: Path) -> dict[str, Any]:
    """Return the settings in a run's config.yaml, without what only describes the run.

    Raises:
        RunError: as `read_config`.
    """
    loaded = read_config(RunFolder(root))
    return {key: value for key, value in loaded.items() if key not in DESCRIBES}


def settings_of(folder: RunFolder, **changed: Any) -> RunSettings:
    """Return the settings that a run was made with, some of them changed.

    Raises:
        RunError: no run there.
        SettingsError: config.yaml holds what is no setting.
    """
    return validate({**configured(folder.root), **changed}, source=str(folder.config))


def versions() -> dict[str, str]:
    """Return the versions that results are made with: this package, Python, the libraries."""
    from importlib.metadata import version

    names = (
        "torch",
        "torchvision",
        "timm",
        "numpy",
        "scipy",
        "numba",
        "scikit-learn",
        "pillow",
        "faster-coco-eval",
    )
    return {
        "maskdistill": maskdistill.__version__,
        "python": platform.python_version(),
        **{name: version(name) for name in names},
    }


def _roots(
    folder: RunFolder, settings: RunSettings, given: Path | None, before: dict[str, Any]
) -> dict[str, Path]:
    """Return the folders of pictures and of validation pictures.

    Raises:
        RunError: no run there, and no pictures given.
        PictureError: the picture folder is not there.
    """
    root = folder.root
    if given is None and "pictures" not in before:
        raise RunError(
            f"{root}: no run there yet. Start one: maskdistill run PICTURES --out {root}"
        )
    pictures = Path(given) if given is not None else Path(before["pictures"])
    if not pictures.is_dir() and (given is not None or not folder.images.exists()):
        raise PictureError(
            f"{pictures}: {'is a file' if pictures.exists() else 'no such folder'}. "
            f"Give a folder with pictures: maskdistill run PICTURES --out {root}"
        )
    roots = {"pictures": pictures}
    if settings.validation is not None and Path(settings.validation).is_dir():
        roots["validation"] = Path(settings.validation)
    return roots


def _config(
    settings: RunSettings, before: dict[str, Any], *, pictures: Path, only: tuple[str, ...]
) -> str:
    """Return the text of config.yaml."""
    extra = {"version": maskdistill.__version__, "pictures": str(pictures.resolve())}
    # `of` is what one command does, no setting of the run.
    kept = replace(settings, cluster=replace(settings.cluster, of="proposals"))
    if not only:
        return dump(kept, extra=extra)
    own = as_dict(kept)
    changed = {**before, **{name: own[name] for name in only}}
    return yaml.safe_dump(changed, sort_keys=False, allow_unicode=True)


def write_settings(job: Job) -> None:
    """Write config.yaml anew: the settings of a job changed since it was opened."""
    text = _config(job.settings, {}, pictures=job.roots["pictures"], only=())
    atomic.write_text(job.folder.config, text)


def _check_files(settings: RunSettings) -> None:
    """Look for the files of weights of late stages before the first stage, not hours later."""
    from maskdistill.features import weights

    for entry in settings.weights:
        stage, _, what = entry.partition("=")
        if not is_name(what) and not Path(what).expanduser().is_file():
            weights.read(what, name=stage)  # says what is wrong
