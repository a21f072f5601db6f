#!/usr/bin/env python
"""Train the method of one config; see proxyclip/cli/train.py."""

import sys

from proxyclip.cli.train import main

if __name__ == "__main__":
    sys.exit(main())
