"""Drawn scenes in the layout of Pascal VOC, written again if damaged or outdated.

ROOT/JPEGImages/000000.png                      RGB; PNG because JPEG coders differ in bytes and blur exact borders
ROOT/SegmentationClass/000000.png               palette image, value = index in CLASSES, no ignore value
ROOT/ImageSets/Segmentation/val.txt             one name a line
ROOT/tinyworld.json                             fingerprint of arguments and code, and the size of every file
"""

import hashlib
import json
import tempfile
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from proxyclip.tinyworld import materials, scenes, things
from proxyclip.tinyworld.scenes import PALETTE, draw_seeded_scene

VOC_RECORD = "tinyworld.json"
VOC_IMAGES = "JPEGImages"
VOC_MASKS = "SegmentationClass"
VOC_SPLIT = "ImageSets/Segmentation/val.txt"


def write_voc(root: str | Path, count: int, seed: int) -> Path:
    """Write scenes 0..count-1 of a seed into the folder `root`; return Path(root).

    A folder that holds exactly this, by its record and the sizes of its files, is left as it is. The folder is made
    under another name and then renamed, so that a killed run leaves no half-written one and of two processes at once
    the last wins with an equal folder.

    Raises:
        FileExistsError: root exists and was not made by this function.
    """
    root = Path(root)
    wanted = _fingerprint(count, seed)
    if _is_complete(root, wanted):
        return root
    if root.exists() and not (root / VOC_RECORD).is_file() and (not root.is_dir() or any(root.iterdir())):
        raise FileExistsError(
            f"Expected a new or empty folder, or one with {VOC_RECORD}, but got {root} with other files"
        )
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent, ignore_cleanup_errors=True) as name:
        made = Path(name)
        made.chmod(0o755)
        _write(made, count, seed, wanted)
        _move_into_place(made, root, wanted)
    return root


def _write(folder: Path, count: int, seed: int, wanted: str) -> None:
    palette = np.array(PALETTE, np.uint8).ravel().tolist()
    names = [f"{i:06d}" for i in range(count)]
    for part in (VOC_IMAGES, VOC_MASKS, Path(VOC_SPLIT).parent):
        (folder / part).mkdir(parents=True)
    for i, name in enumerate(names):
        scene = draw_seeded_scene(seed, i)
        Image.fromarray(scene.image).save(folder / VOC_IMAGES / f"{name}.png", compress_level=1)
        mask = Image.fromarray(scene.mask)
        mask.putpalette(palette)
        mask.save(folder / VOC_MASKS / f"{name}.png")
    (folder / VOC_SPLIT).write_text("".join(f"{name}\n" for name in names))
    (folder / VOC_RECORD).write_text(json.dumps({"fingerprint": wanted, "sizes": _sizes(folder)}, indent=0) + "\n")


def _move_into_place(made: Path, root: Path, wanted: str) -> None:
    """Rename `made` to `root`, replacing an older root, while others may do the same."""
    for attempt in range(100):
        try:
            made.replace(root)
            return
        except OSError:
            if _is_complete(root, wanted):
                return
            if attempt == 99:
                raise
        old = tempfile.TemporaryDirectory(prefix=f".{root.name}.", dir=root.parent, ignore_cleanup_errors=True)
        with old, suppress(FileNotFoundError):
            root.replace(old.name)


def _sizes(folder: Path) -> dict[str, int]:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != VOC_RECORD)
    return {p.relative_to(folder).as_posix(): p.stat().st_size for p in files}


def _is_complete(root: Path, wanted: str) -> bool:
    try:
        record = json.loads((root / VOC_RECORD).read_text())
        return record["fingerprint"] == wanted and record["sizes"] == _sizes(root)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _fingerprint(count: int, seed: int) -> str:
    """Hash of all that decides the images: the arguments and the source that draws."""
    sources = [Path(source).read_bytes() for source in (__file__, scenes.__file__, things.__file__, materials.__file__)]
    text = f"{int(count)} {int(seed)} {np.__version__} {Image.__version__}".encode()
    return hashlib.sha256(b"\0".join([text, *sources])).hexdigest()
