"""The pages tell the truth: links lead somewhere, Python runs, quoted messages and variables are in the code."""

from __future__ import annotations

import ast
import functools
import json
import re
import runpy
from pathlib import Path

import pytest
import yaml
from PIL import Image

import proxyclip
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS, ROOT / "proxyclip/tinyworld/README.md"]
OWN_TEST = "extending.md"
TROUBLES = (ROOT / "docs/troubleshooting.md").read_text("utf-8")
INSTALL = (ROOT / "docs/install.md").read_text("utf-8")
CODE = list((ROOT / "proxyclip").rglob("*.py"))
VALUE = "\0"  # stands for what an f-string fills in


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def with_python() -> list[Path]:
    pages = [page for page in (ROOT / "README.md", *DOCS) if page.name != OWN_TEST]
    return [page for page in pages if "```python\n" in text_of(page)]


def prose(text: str) -> str:
    """A page without its code."""
    return re.sub(r"`[^`\n]*`", "", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings: small letters, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(text: str) -> list[str]:
    found = re.findall(r"\]\(([^)\s]+)\)", prose(text))
    return [link for link in found if "://" not in link]


def broken(links: list[str], page: Path) -> list[str]:
    wrong = []
    for link in links:
        name, _, anchor = link.partition("#")
        target = page if not name else (page.parent / name).resolve()
        if not target.exists() or (anchor and anchor not in anchors(text_of(target))):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links(page):
    assert broken(links(text_of(page)), page) == []


def test_links_of_the_notebook():
    page = ROOT / "docs/tour.ipynb"
    cells = [cell for cell in json.loads(text_of(page))["cells"] if cell["cell_type"] == "markdown"]
    found = links("".join("".join(cell["source"]) for cell in cells))
    assert len(found) > 5 and broken(found, page) == []


def test_a_broken_link_is_found():
    page = ROOT / "docs/README.md"
    text = "[a](nowhere.md) [b](install.md#no-such-heading) [c](install.md#mmcv) `[d](code.md)` [e](https://x.org)"
    assert broken(links(text), page) == ["nowhere.md", "install.md#no-such-heading"]


def test_the_index_has_every_page():
    named = {link.partition("#")[0] for link in links(text_of(ROOT / "docs/README.md"))}
    pages = {path.name for path in (ROOT / "docs").iterdir() if path.suffix in (".md", ".ipynb")}
    assert pages - {"README.md"} == {name for name in named if "/" not in name}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An empty folder with photographs, which are drawn scenes; a Segmenter's own model is the tiny world's."""
    for number, name in enumerate(("photo.jpg", "photos/a.jpg", "photos/b.jpg")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(draw_seeded_scene(7, number).image).save(path)
    monkeypatch.chdir(tmp_path)
    defaults = proxyclip.Segmenter.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "config", "configs/cfg_tinyworld.py")
    monkeypatch.setitem(defaults, "device", "cpu")
    return tmp_path


@pytest.mark.parametrize("page", with_python(), ids=lambda page: page.name)
def test_python_runs(page, desk):
    """All Python of a page, in its order, as one script."""
    blocks = re.findall(r"```python\n(.*?)```", text_of(page), re.DOTALL)
    (desk / "blocks.py").write_text("\n".join(blocks), encoding="utf-8")
    runpy.run_path(str(desk / "blocks.py"))
    if page.name == "segment.md":
        made = {path.name for path in (desk / "demo_out").iterdir()}
        assert {"photo_seg.png", "photo_mask.png", "a.json", "b_overlay.png"} <= made
        assert (desk / "attention.png").exists() and (desk / "photo_seg.png").exists()


@functools.cache
def spoken() -> list[str]:
    """Every text in the code but docstrings, f-strings with `VALUE` where something is filled in."""
    found = []
    for path in CODE:
        nodes = list(ast.walk(ast.parse(text_of(path))))
        documents = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documents:
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else VALUE for part in node.values]
                found.append("".join(map(str, parts)))
    return found


def is_spoken(message: str) -> bool:
    """Whether the code says `message`, in which `...` stands for anything."""
    pattern = ".*".join(re.escape(part.strip()) for part in message.split("..."))
    return any(re.search(pattern, text, re.DOTALL) for text in spoken())


def quoted() -> list[str]:
    """The first column of the tables of messages."""
    tables = re.findall(r"\| message \|.*?\n\n", TROUBLES + "\n\n", re.DOTALL)
    return [line.split("`")[1] for table in tables for line in table.splitlines() if line.startswith("| `")]


@pytest.mark.parametrize("message", quoted())
def test_the_message_is_in_the_code(message):
    assert len(re.sub(r"[^a-z]", "", message.lower())) >= 10, "too short to find the right one"
    assert is_spoken(message)


def test_a_message_that_nobody_says_is_found():
    assert len(quoted()) > 50
    assert is_spoken("The weights file ... cannot be read")
    assert not is_spoken("The weights file ... cannot be red")
    assert not is_spoken("cannot be read The weights file ...")


def test_variables_are_in_the_code_and_in_the_table():
    table = set(re.findall(r"`([A-Z_]{4,})`", "".join(re.findall(r"^\| `[A-Z].*$", INSTALL, re.MULTILINE))))
    code = "".join(map(text_of, CODE))
    assert set(re.findall(r"PROXYCLIP_[A-Z]+", code)) == {name for name in table if name.startswith("PROXYCLIP_")}
    script = text_of(ROOT / "dist_test.sh")
    assert set(re.findall(r"\$\{([A-Z_]{4,}):-", script)) - {"MKL_NUM_THREADS"} <= table
    assert {"DATA_ROOT", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS"} <= table


def test_citation():
    """Citation File Format 1.2.0: what it requires, this version, and the paper as the README cites it."""
    text = text_of(ROOT / "CITATION.cff")
    cited = yaml.safe_load(text)
    assert cited["cff-version"] == "1.2.0" and cited["type"] == "software" and cited["message"]
    assert cited["title"] and cited["authors"] and cited["license"] == "Apache-2.0"
    assert f"\nversion: {proxyclip.__version__}\n" in text
    (paper,) = cited["references"]
    readme = text_of(ROOT / "README.md")
    assert paper["type"] == "conference-paper" and f"title={{{paper['title']}}}" in readme
    names = " and ".join(f"{one['family-names']}, {one['given-names']}" for one in paper["authors"])
    assert f"author={{{names}}}" in readme and f"year={{{paper['year']}}}" in readme
