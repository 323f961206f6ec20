"""Module entry: `python -m maskdistill`, where the command itself is not on the path."""

import sys

from maskdistill.cli import main

if __name__ == "__main__":
    sys.exit(main())
