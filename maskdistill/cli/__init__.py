"""Command line: `main` runs one command.

Below:    api, which does what the command says
"""

from maskdistill.cli.commands import main

__all__ = ["main"]
