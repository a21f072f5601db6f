"""The published name of prepare_coco_object.py: the same script, the same arguments."""

from __future__ import annotations

import sys

from prepare_coco_object import main

if __name__ == "__main__":
    sys.exit(main())
