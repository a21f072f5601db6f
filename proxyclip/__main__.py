"""Command line of the package: `python -m proxyclip COMMAND`."""

import sys

from proxyclip.cli import main

if __name__ == "__main__":
    sys.exit(main())
