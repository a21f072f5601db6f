#!/usr/bin/env python
"""Evaluate one config; see proxyclip/cli/eval.py."""

import sys

from proxyclip.cli.eval import main

if __name__ == "__main__":
    sys.exit(main())
