"""Embedded default: drawn scenes with exact masks, tiny CLIP and VFM weights.

    prepare(root, count, seed)   a Pascal VOC folder of drawn scenes, made once and reused
    WEIGHTS / "clip"             an open_clip folder: open_clip.create_model("local-dir:...")
    WEIGHTS / "contrast", "mae"  timm folders: timm.create_model("local-dir:...", pretrained=True)
    CLASSES, PALETTE             twelve objects, then seven materials; mask value i is CLASSES[i]

The weights were made by `python -m proxyclip.tinyworld.train`, for these scenes and class names only, so that all runs
without network. Importing this package needs numpy and Pillow only.
"""

from pathlib import Path

from proxyclip.tinyworld.dataset import write_voc as prepare
from proxyclip.tinyworld.scenes import CLASSES, OBJECTS, PALETTE, STUFF

__all__ = ["CLASSES", "OBJECTS", "PALETTE", "STUFF", "WEIGHTS", "prepare"]

WEIGHTS = Path(__file__).parent / "weights"
