"""The tiny models in the hub's layouts, and class names."""

import pytest
from helpers.reference import arrays, write_clip, write_vit


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    root = tmp_path_factory.mktemp("segmentors")
    write_clip(root / "clip")
    write_vit(root / "dino", "dino")
    (root / "cls.txt").write_text(str(arrays("text")["syn3_file"]))
    return root
