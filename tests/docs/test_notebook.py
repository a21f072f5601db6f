"""docs/tour.ipynb: it is stored without outputs, runs to its end without an error, and shows its pictures."""

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

pytestmark = pytest.mark.docs

PATH = ROOT / "docs/tour.ipynb"
# Cell -> text that it prints, and number of pictures.
CELLS = {
    "start": ("", 1),
    "names": ("", 1),
    "arrays": ("labels (160, 224) int32 of ('boat', 'duck', 'grass', 'water')", 0),
    "synonyms": ("ship", 0),
    "background": ("other", 1),
    "probabilities": ("(4, 160, 224) sum", 1),
    "attention": ("", 1),
    "tune": ("{'beta': 1.2, 'gamma': 3.0}", 1),
    "methods": ("of the pixels differ", 1),
    "evaluation": ("(first 2 images only)", 0),
    "record": ("Proxy(beta=1.2, gamma=3.0)", 0),
    "own": ("Writing work_dirs/tour/alike.py", 0),
    "try-it": ("{'patches': 32}", 1),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("tour")


@pytest.fixture(scope="module")
def outputs(folder):
    """Outputs by the id of the code cells, of a run in an empty folder."""
    notebook = nbformat.read(PATH, as_version=4)
    client = nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    own = {"PYTHONPATH": str(ROOT), "JUPYTER_RUNTIME_DIR": str(folder / "run"), "IPYTHONDIR": str(folder / "ipython")}
    own |= {"CUDA_VISIBLE_DEVICES": "", "DATA_ROOT": "data"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, value)
        client.execute(env=dict(os.environ))
    return {cell.id: cell.outputs for cell in notebook.cells if cell.cell_type == "code"}


def decode_pictures(cell_outputs) -> list[np.ndarray]:
    """Return the pictures of a cell, (H, W, 3) uint8."""
    codes = [output.data["image/png"] for output in cell_outputs if "image/png" in output.get("data", {})]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(code))).convert("RGB")) for code in codes]


def test_notebook_is_stored_without_outputs():
    notebook = nbformat.read(PATH, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.id for cell in code] == list(CELLS)
    assert not any(cell.outputs or cell.execution_count for cell in code)


@pytest.mark.parametrize("name", CELLS)
def test_cell_prints_text_and_shows_pictures(outputs, name):
    text, picture_count = CELLS[name]
    assert text in "".join(output.text for output in outputs[name] if output.output_type == "stream")
    pictures = decode_pictures(outputs[name])
    assert len(pictures) == picture_count
    for picture in pictures:
        assert min(picture.shape[:2]) >= 160
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_notebook_writes_its_files(outputs, folder):
    names = {path.relative_to(folder / "work_dirs/tour").as_posix() for path in folder.rglob("tour/*")}
    assert {"image_seg.png", "image_mask.png", "image.json", "results.xlsx", "alike.py", "records"} <= names
