"""The table of published numbers in docs/methods.md, as it is made from published.json."""

import pytest

from proxyclip.results import published_table
from proxyclip.results.published_table import DATASET_COLUMNS, format_published_table, rank_dataset
from proxyclip.utils.paths import ROOT

ROW = {
    "method": "sclip", "model": "ViT-B-16", "weights": "openai", "vfm": None, "configs": ["sclip/cfg_{dataset}"],
    "changes": [], "protocol": "", "exact": True, "source": "a README", "evidence": "table", "mIoU": {"voc21": 59.63},
}  # fmt: skip


@pytest.fixture
def make_table(monkeypatch):
    """A function that makes the table of rows, each like `ROW` but for some keys, and splits its lines into cells."""

    def make(*changes: dict) -> tuple[list[list[str]], list[str]]:
        monkeypatch.setattr(published_table, "load_published_rows", lambda: tuple(ROW | change for change in changes))
        table, notes = format_published_table().rstrip().split("\n\n")
        lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
        return lines[2:], notes.splitlines()

    return make


def test_docs_have_the_table_of_published_numbers():
    """If not: replace it there by what the command in the module's docstring prints."""
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    table = format_published_table()
    assert table in text and text.count("| method | CLIP |") == 1
    assert all(len(line) <= 120 for line in table.partition("\n\n")[2].splitlines())


def test_row_shows_config_and_exactness(make_table):
    table, notes = make_table(
        {}, {"changes": ["model.refine=none"], "exact": False, "vfm": "tiny", "source": "a paper"}
    )
    dashes = ["-"] * (len(DATASET_COLUMNS) - 1)
    assert table == [
        ["`sclip`", "ViT-B-16 openai", "-", "59.63", *dashes, "= `sclip/cfg_*`", "1"],
        ["`sclip`, `refine=none`", "ViT-B-16 openai", "tiny", "59.63", *dashes, "~ `sclip/cfg_*`", "2"],
    ]
    assert notes == ["1. a README", "2. a paper"]


def test_contradicting_sources_are_marked(make_table):
    changes = ({}, {"mIoU": {"voc21": 59.6}}, {"model": "ViT-L-14", "mIoU": {"voc21": 44.4}})
    assert [row[3] for row in make_table(*changes)[0]] == ["59.63", "59.6", "44.4"]  # equal but for the rounding
    quoted = {"mIoU": {"voc21": 59.1, "voc20": 80.4}, "evidence": "third-party table"}
    table, notes = make_table(*changes, quoted)
    assert [row[3] for row in table] == ["59.63 ≠", "59.6 ≠", "59.1 ≠", "44.4"]  # of one CLIP side by side
    assert [row[6] for row in table] == ["-", "-", "80.4", "-"]
    assert notes == ["1. a README", "2. a README (third-party table)"]


def test_tinyworld_and_trained_models_have_no_row(make_table):
    tiny, trained = {"mIoU": {"tinyworld": 1.0}}, {"configs": ["trained/clip_rc/{dataset}_fully"]}
    assert len(make_table({}, tiny, trained)[0]) == 1


def test_rank_dataset_follows_the_papers():
    assert sorted(["ade847", "voc20", "coco_stuff10k", "voc21"], key=rank_dataset) == [
        "voc21", "voc20", "coco_stuff10k", "ade847",
    ]  # fmt: skip
