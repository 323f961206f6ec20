"""Errors that a user can answer: each names what was wrong, where, and what to do.

MaskDistillError
├── SettingsError     a setting, flag, preset or YAML key that cannot be used
├── PictureError      a picture (or a folder of them) that cannot be read
├── WeightsError      weights that are missing, of another architecture, or not to be had offline
├── GroundTruthError  ground truth that does not fit its pictures or its format
├── DatasetError      a data set that cannot be fetched, is damaged or not whole
├── PredictionError   predictions of others that do not fit their ground truth or their format
├── RunError          a run folder: made with other settings, damaged, in use
│   └── StaleError    a stage whose fingerprint differs from what was asked for
└── TrainingError     a network that cannot be trained on what it was given
"""

from collections.abc import Sequence


class MaskDistillError(Exception):
    """Base of all the others: the command prints it without a traceback."""


class SettingsError(MaskDistillError):
    """A setting, flag, preset or YAML key that cannot be used."""


class PictureError(MaskDistillError):
    """A picture, or a folder of them, that cannot be read."""


class WeightsError(MaskDistillError):
    """Weights that are missing, of another architecture, or not to be had offline."""


class GroundTruthError(MaskDistillError):
    """Ground truth that does not fit its pictures or its format."""


class DatasetError(MaskDistillError):
    """A data set that cannot be fetched, is damaged or not whole."""


class PredictionError(MaskDistillError):
    """Predictions of others that do not fit their ground truth or their format."""


class RunError(MaskDistillError):
    """A run folder that is damaged, in use, or not one."""


class StaleError(RunError):
    """A stage made with other settings or inputs than those asked for now."""


class TrainingError(MaskDistillError):
    """A network that cannot be trained on what it was given."""


def setting(name: str, value: str = "") -> str:
    """Return a setting, and a value for it, as messages name it: `propose.min_score`, `k: 5`.

    The command prints it as a flag of the command that was given: `--min-score`.
    """
    return f"`{name}: {value}`" if value else f"`{name}`"


def listed(values: Sequence[object], most: int = 5) -> str:
    """Return the first few of many values as words for a message.

    >>> listed([1, 2, 3], most=2)
    '1, 2, ...'
    """
    return ", ".join(map(str, values[:most])) + (", ..." if len(values) > most else "")
