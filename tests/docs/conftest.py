"""A sandbox for the commands of README and docs."""

import re

import numpy as np
import pytest
from PIL import Image

from proxyclip.results.records import save_record
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

OWN = {".git", ".venv", "work_dirs", "data", "demo_out", "weights", "my", "my_data"}  # not those of the repository
WEIGHTS = {"CLIP_FOLDER": "clip", "DINO_FOLDER": "contrast", "weights/clip": "clip", "weights/dino": "contrast"}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory):
    """A folder with the repository's entries, a photo, weights, data sets, a record and the files of extending.md."""
    folder = tmp_path_factory.mktemp("sandbox")
    for path in ROOT.iterdir():
        if path.name not in OWN:
            (folder / path.name).symlink_to(path)
    (folder / "weights").mkdir()
    for name, target in WEIGHTS.items():
        (folder / name).symlink_to(ROOT / "proxyclip/tinyworld/weights" / target)

    scene = draw_seeded_scene(3, 3)
    labels = np.kron([[0, 1, 2], [2, 0, 1]], np.ones((24, 24), int)).astype(np.uint8)
    pictures = {"photo.jpg": scene.image, "my_data/images/a.jpg": scene.image, "my_data/masks/a.png": scene.mask}
    for i in range(3):
        pictures[f"my_data/shapes/images/{i}.png"] = np.dstack([labels * 90, labels * 60, 200 - labels * 50])
        pictures[f"my_data/shapes/labels/{i}.png"] = labels
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / name)
    (folder / "my_data/classes.txt").write_text((ROOT / "configs/cls_tinyworld.txt").read_text())

    extending = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
    files = re.findall(r"```python\n# (my/\w+\.py)\n(.*?)```", extending, re.DOTALL)
    files += re.findall(r"`(my/[\w.]+)`:\n\n```text\n(.*?)```", extending, re.DOTALL)
    (folder / "my").mkdir()
    for name, text in files:
        (folder / name).write_text(text, encoding="utf-8")
    save_record({"identity": "a" * 12, "config_name": "cfg_voc21", "metrics": {"mIoU": 50.0}}, folder / "work_dirs")
    return folder
