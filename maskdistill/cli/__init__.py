"""The command line: `main` runs one command."""

from maskdistill.cli.commands import main

__all__ = ["main"]
