"""docs/tour.ipynb: it is stored without outputs, runs to its end without an error, and shows its pictures."""

from __future__ import annotations

import base64
import io
import os

import numpy as np
import pytest
from PIL import Image

from proxyclip.utils.paths import ROOT

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

PATH = ROOT / "docs/tour.ipynb"
# Cell -> words that it prints, and whether it ends in a picture.
CELLS = {
    "start": ("", True),
    "words": ("", True),
    "arrays": ("labels (160, 224) int32 of ('boat', 'duck', 'grass', 'water')", False),
    "synonyms": ("ship", False),
    "background": ("other", True),
    "probabilities": ("(4, 160, 224) sum", True),
    "attention": ("", True),
    "tune": ("{'beta': 1.2, 'gamma': 3.0}", True),
    "methods": ("of the pixels differ", True),
    "evaluation": ("(first 2 images only)", False),
    "record": ("Proxy(beta=1.2, gamma=3.0)", False),
    "own": ("Writing work_dirs/tour/alike.py", False),
    "try-it": ("{'patches': 32}", True),
}


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The notebook after it ran in an empty folder, by the id of its code cells."""
    folder = tmp_path_factory.mktemp("tour")
    own = {"PYTHONPATH": str(ROOT), "JUPYTER_RUNTIME_DIR": str(folder / "run"), "IPYTHONDIR": str(folder / "ipython")}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        patch.delenv("DATA_ROOT", raising=False)
        notebook = nbformat.read(PATH, as_version=4)
        client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
        client.execute(env=dict(os.environ))
    cells = {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}
    return folder, cells


def shown(outputs) -> list[np.ndarray]:
    """The pictures among a cell's outputs, (H, W, 3) uint8."""
    found = [output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB")) for text in found]


def said(outputs) -> str:
    return "".join(output.text for output in outputs if output.output_type == "stream")


def test_it_is_stored_without_outputs():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code] == list(CELLS)
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("name", CELLS)
def test_cell(done, name):
    words, has_picture = CELLS[name]
    outputs = done[1][name]
    assert words in said(outputs)
    assert len(shown(outputs)) == has_picture
    for picture in shown(outputs):
        assert min(picture.shape[:2]) >= 160 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_the_map_is_in_colour(done):
    """The patch on the duck looks at the duck: bright warm colours there, grey elsewhere."""
    (picture,) = shown(done[1]["attention"])
    right = picture[:, picture.shape[1] // 2 :].astype(int)
    colourful = right.max(2) - right.min(2) > 60
    assert 0.02 < colourful.mean() < 0.2


def test_the_files_of_the_tour(done):
    folder = done[0] / "work_dirs/tour"
    names = {path.name for path in folder.iterdir()}
    assert {"image_seg.png", "image_mask.png", "image.json", "results.xlsx", "alike.py"} <= names
    assert len(list((folder / "records").glob("*.json"))) == 1
    assert {path.name for path in done[0].iterdir()} - {"ipython", "run"} == {"work_dirs"}
