#!/usr/bin/env python
"""Segment images with any class names; see proxyclip/cli/demo.py."""

import sys

from proxyclip.cli.demo import main

if __name__ == "__main__":
    sys.exit(main())
