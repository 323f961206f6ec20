"""Where things are in a run's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run; nothing is read or made."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "config.yaml"

    @property
    def images(self) -> Path:
        return self.root / "images.jsonl"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / "lock"

    @property
    def old(self) -> Path:
        """What is being replaced, kept until the new one is complete."""
        return self.root / "old"

    def base(self, name: str) -> Path:
        """The folder that the outputs of a stage are relative to; scan writes images.jsonl beside its own."""
        return self.root if name == "scan" else self.stage(name)

    def seed(self, number: int) -> RunFolder:
        """The folder of the run with another seed: a run of its own."""
        return RunFolder(self.root / "seeds" / str(number))

    def stage(self, name: str) -> Path:
        """A stage's folder; `detect/train` is a part of a stage."""
        return self.root / name
