"""A command that kills itself behind a record of a journal, and tells each record that it adds.

launched.py PARTS COUNT LOG WORD...: `maskdistill WORD...`, killed when the journal in the folder PARTS holds COUNT
records on disk; LOG gets a line `PARTS KEY` for every record of every journal.
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from maskdistill import cli
from maskdistill.runs.journal import Journal


def main(parts: str, count: str, log: str, *words: str) -> int:
    own = Journal.add

    def add(journal: Journal, key: int, record: dict[str, Any]) -> None:
        own(journal, key, record)
        with Path(log).open("ab", buffering=0) as file:
            file.write(f"{journal.path.parent} {key}\n".encode())
        if str(journal.path.parent) == parts and len(journal) == int(count):
            journal.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    Journal.add = add  # type: ignore[method-assign]
    return cli.main(list(words))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
