"""README, docs and notebook: links and paths exist, Python runs, quoted messages and variables are in the code."""

import ast
import json
import pkgutil
import re
import runpy
from pathlib import Path

import pytest
import yaml
from PIL import Image

import proxyclip
from proxyclip.tinyworld.scenes import draw_seeded_scene
from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.docs

DOCS = sorted((ROOT / "docs").glob("*.md"))
PAGES = [*ROOT.glob("*.md"), *DOCS, ROOT / "docs/tour.ipynb", ROOT / "proxyclip/tinyworld/README.md"]
PYTHON_FILES = list((ROOT / "proxyclip").rglob("*.py"))
FILE_NAMES = {path.name for folder in ("", "configs", "datasets", "proxyclip") for path in (ROOT / folder).rglob("*.*")}
FOLDERS = {
    "proxyclip",
    "tests",
    "configs",
    "datasets",
    "benchmarks",
    "docs",
    *(path.name for path in ROOT.glob("proxyclip/*/")),
}
BLOCK = re.compile(r"```.*?```", re.DOTALL)


def read_page(page: Path) -> str:
    """Read a page, of a notebook its Markdown."""
    text = page.read_text(encoding="utf-8")
    if page.suffix != ".ipynb":
        return text
    return "\n\n".join("".join(cell["source"]) for cell in json.loads(text)["cells"] if cell["cell_type"] == "markdown")


def page_name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def find_anchors(text: str) -> set[str]:
    """Return GitHub's anchors of the headings: small letters, no punctuation, hyphens for blanks."""
    headings = re.findall(r"^#+ (.*)$", BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def find_links(text: str) -> list[str]:
    """Return the links to files and headings."""
    targets = re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text)))
    return [link for link in targets if "://" not in link]


@pytest.mark.parametrize("page", PAGES, ids=page_name)
def test_links_lead_to_files_and_headings(page):
    for link in find_links(read_page(page)):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in find_anchors(read_page(target)), link


def test_index_has_every_page():
    names = {link.partition("#")[0] for link in find_links(read_page(ROOT / "docs/README.md"))}
    assert {path.name for path in (*DOCS, ROOT / "docs/tour.ipynb")} - {"README.md"} == {
        n for n in names if "/" not in n
    }


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=page_name)
def test_paths_in_backticks_exist(page):
    """Paths from the repository's root or from the package's, with `*` and NAME; names of scripts; modules."""
    for span in re.findall(r"`([\w./*-]+)`", BLOCK.sub("", read_page(page))):
        if re.fullmatch(r"proxyclip(\.\w+)+", span):
            pkgutil.resolve_name(span)
        elif re.fullmatch(r"\w+\.(py|sh)", span):
            assert span in FILE_NAMES, span
        elif "/" in span and span.partition("/")[0] in FOLDERS:
            pattern = span.replace("NAME", "*").rstrip("/")
            matches = [path for root in (ROOT, ROOT / "proxyclip") for path in root.glob(pattern)]
            assert matches or (ROOT / f"proxyclip/{span}.py").exists(), span


@pytest.mark.parametrize("page", [page for page in PAGES if "```python\n" in read_page(page)], ids=page_name)
def test_python_of_page_runs(page, tmp_path, monkeypatch):
    """All blocks as one script, in a folder with pictures, by the tiny world's model; extending.md runs by commands."""
    if page.name == "extending.md":
        pytest.skip("its files run by its commands")
    for number, name in enumerate(("photo.jpg", "photos/a.jpg", "photos/b.jpg")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(draw_seeded_scene(7, number).image).save(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    defaults = proxyclip.Segmenter.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "config", "configs/cfg_tinyworld.py")
    monkeypatch.setitem(defaults, "device", "cpu")
    script = tmp_path / "blocks.py"
    script.write_text("\n".join(re.findall(r"```python\n(.*?)```", read_page(page), re.DOTALL)), encoding="utf-8")
    runpy.run_path(str(script))
    if page.name == "segment.md":
        files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")}
        assert {"attention.png", "photo_seg.png", "demo_out/photo_mask.png", "demo_out/b_overlay.png"} <= files


def collect_texts() -> list[str]:
    """Return every text in the code but docstrings; an f-string has `...` where something is filled in."""
    texts = []
    for node in (node for path in PYTHON_FILES for node in ast.walk(ast.parse(path.read_text("utf-8")))):
        if isinstance(node, ast.JoinedStr):
            texts.append("".join(str(part.value) if isinstance(part, ast.Constant) else "..." for part in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


def test_quoted_messages_are_in_the_code():
    """The first columns of the tables of messages; `...` stands for anything."""
    tables = re.findall(r"\| message \|.*?\n\n", read_page(ROOT / "docs/troubleshooting.md"), re.DOTALL)
    messages = re.findall(r"^\| `(.*?)`", "".join(tables), re.MULTILINE)
    texts = collect_texts()
    assert len(messages) > 50
    for message in messages:
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in message.split("...")), re.DOTALL)
        assert any(map(pattern.search, texts)), message


def test_environment_variables_are_documented():
    install = read_page(ROOT / "docs/install.md")
    code = "".join(path.read_text("utf-8") for path in (*PYTHON_FILES, ROOT / "dist_test.sh"))
    variables = set(re.findall(r"PROXYCLIP_[A-Z]+|\$\{([A-Z_]{4,}):-", code)) - {"", "MKL_NUM_THREADS"}
    assert all(f"`{name}`" in install for name in variables | {"DATA_ROOT", "CUDA_VISIBLE_DEVICES"})


def test_citation_file_agrees_with_version_and_readme():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    (paper,) = yaml.safe_load(text)["references"]
    names = " and ".join(f"{author['family-names']}, {author['given-names']}" for author in paper["authors"])
    readme = read_page(ROOT / "README.md")
    assert f"\nversion: {proxyclip.__version__}\n" in text
    assert f"title={{{paper['title']}}}" in readme
    assert f"author={{{names}}}" in readme
