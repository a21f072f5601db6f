"""Published name of prepare_coco_object.py, with the same arguments."""

import sys

from prepare_coco_object import main

if __name__ == "__main__":
    sys.exit(main())
