#!/usr/bin/env python
"""Evaluate a grid of configs, methods, VFMs and CLIPs; see proxyclip/cli/eval_all.py."""

import sys

from proxyclip.cli.eval_all import main

if __name__ == "__main__":
    sys.exit(main())
