"""Networks: the device, backbone and weights of a stage, loaded once and known by content.

In:   settings of the run; files of weights, or their names
Out:  torch.device; a backbone as features/ has it; digests for fingerprints
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import torch

from maskdistill.engine.job import Job
from maskdistill.errors import SettingsError, WeightsError
from maskdistill.features import handcrafted, licences, vit, weights
from maskdistill.runs.progress import Progress
from maskdistill.settings import known_weights
from maskdistill.settings.run import HANDCRAFTED


def device(job: Job) -> torch.device:
    """Return the device that the settings ask for; `auto` is the first GPU, else the CPU.

    Raises:
        SettingsError: as `chosen`.
    """
    return chosen(job.settings.device)


def chosen(wanted: str) -> torch.device:
    """Return a device by its name: auto, cpu, cuda or cuda:N.

    Raises:
        SettingsError: no such name, a device that some stage cannot use, one that this machine
            does not have.
    """
    if wanted == "auto":
        wanted = "cuda" if n_gpus() else "cpu"
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise SettingsError(
            f"device: there is no {wanted!r}. Wanted: auto, cpu, cuda, cuda:N"
        ) from error
    # Others do some of the stages, and fail hours later at the detector.
    if device.type not in ("cpu", "cuda"):
        raise SettingsError(
            f"device: {wanted!r} cannot do all stages. Wanted: auto, cpu, cuda, cuda:N"
        )
    if device.type == "cuda" and (device.index or 0) >= n_gpus():
        there = ", ".join(f"cuda:{number}" for number in range(n_gpus()))
        raise SettingsError(
            f"device: {wanted} was asked for, but this machine has "
            f"{f'only {there}' if there else 'no usable GPU'}. Use auto or {there or 'cpu'}"
        )
    return device


def n_gpus() -> int:
    """Return the number of GPUs that torch can use: the one place that a choice of device asks."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def backbone(job: Job, stage: str, name: str) -> Any:
    """Return the backbone `name` with the run's weights for `stage`, on the run's device.

    Raises:
        WeightsError: as `vit.load`, behind the setting that names the backbone.
        SettingsError: the device is not there.
    """
    if name == HANDCRAFTED:
        return handcrafted.load()
    dtype = torch.bfloat16 if job.settings.precision == "bfloat16" else torch.float32
    state, note = _state(job, stage, name)
    rotated = stage == "propose" and job.settings.propose.rotated
    # Only what proposes is chosen by the table of known weights.
    asked = stage == "propose" and not isinstance(state, str)
    digest = weights.fingerprint(state) if asked else ""
    try:
        network = vit.load(name, weights=state, device=device(job), dtype=dtype, rotated=rotated)
    except WeightsError as error:
        known = known_weights.line(None, digest=digest)
        told = f". These are the weights of {known.names[0]}" if known else ""
        raise WeightsError(f"{stage}.backbone: {error}{told}") from error
    network.note, network.digest = note, digest
    tell_choice(job, stage, note)
    return network


def tell_choice(job: Job, stage: str, note: str) -> None:
    """Say and write down what was chosen in a file of weights that holds several networks."""
    if note:
        job.progress.say(f"{stage}: {note}")
        job.ledger.write("note", stage=stage, what=note)


def tell_line(job: Job, network: Any) -> None:
    """Write down the line that the weights of propose have in the table of known ones, if any.

    Where propose.backbone is of another architecture, it is said too.

    Args:
        network: as `backbone` returns it.
    """
    own = job.settings.propose
    digest = getattr(network, "digest", "")  # handcrafted has none
    known = known_weights.line(_given(job, "propose", own.backbone), digest=digest or None)
    if known is None or not digest:
        return
    what = known_weights.told(known, own)
    job.ledger.write("note", stage="propose", what=what)
    if known_weights.is_other_architecture(known, own.backbone):
        job.progress.say(f"propose: {what}")


# The one exception to having no globals: a loop over pictures calls a function that has nowhere
# else to hold it.
_kept: dict[tuple[Any, ...], Any] = {}
_keeping = threading.Lock()


def kept(job: Job, stage: str, name: str) -> Any:
    """Return the `backbone` of these arguments, held from the last call while it would be the same.

    Weights in a file are known by path, size and time of change, others by their name.

    Raises:
        WeightsError, SettingsError: as `backbone`.
    """
    given = job.settings.weights_of(stage)
    path = Path(given or "").expanduser().resolve()
    file = (
        (path, path.stat().st_size, path.stat().st_mtime_ns) if given and path.is_file() else None
    )
    key = (
        stage,
        name,
        given,
        file,
        device(job),
        job.settings.precision,
        job.settings.propose.rotated,
    )
    with _keeping:
        if key not in _kept:
            _kept.clear()
            _kept[key] = backbone(job, stage, name)
        return _kept[key]


def digest(job: Job, stage: str, name: str) -> str:
    """Return the digest of a backbone's weights, by content, as it counts in fingerprints.

    The words `handcrafted` and `none` (weights drawn at random) stand for themselves.
    """
    if name == HANDCRAFTED:
        return HANDCRAFTED
    state, _ = _state(job, stage, name)
    return state if isinstance(state, str) else weights.fingerprint(state)


def fetch(job: Job, stage: str) -> None:
    """Fetch the weights that a stage starts from, where they go by a name.

    Args:
        stage: propose, cluster, detect or segment.
    Raises:
        WeightsError: not to be had offline, or no such backbone.
    """
    if stage == "detect" and job.settings.detect.on_tokens:
        stage = "propose"
    if stage in ("detect", "segment"):
        given = job.settings.weights_of(stage) or "none"
        _tell_licence(job, stage, given)
        weights.fetch(given)
        return
    name = getattr(job.settings, stage).backbone
    if name != HANDCRAFTED and (given := _given(job, stage, name)) != "none":
        vit.check(name)
        _tell_licence(job, stage, given)
        weights.fetch(given)


def _tell_licence(job: Job, stage: str, what: str) -> None:
    """Say and write down the licence of weights that are about to be fetched, `quiet` or not.

    Nothing is said of what is on this machine: tables and page name its licence.
    """
    if weights.is_here(what):
        return
    told = f"{what} is fetched now. {licences.told(what)}"
    Progress().say(f"{stage}: {told}")
    job.ledger.write("note", stage=stage, what=told)


def _given(job: Job, stage: str, name: str) -> str:
    """Return the name or file of a backbone's weights; `none` for weights drawn at random."""
    given = job.settings.weights_of(stage)
    if given is None and stage == "cluster" and name == job.settings.propose.backbone:
        given = job.settings.weights_of("propose")
    return given or name


def _state(job: Job, stage: str, name: str) -> tuple[Any, str]:
    """Return a state dict, or `none` for weights drawn at random; and a note on what was chosen."""
    given = _given(job, stage, name)
    if given == "none":
        return "none", ""
    vit.check(name)  # before anything is fetched for it
    _tell_licence(job, stage, given)
    return weights.read_told(given, name=name)
