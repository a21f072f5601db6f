"""Table of a sweep at its end, in narrow terminals and in Markdown."""

import pytest
from helpers.sweep_cells import make_varied_cells

from proxyclip.engine.sweep.cell_table import print_cell_table
from proxyclip.results.published import PublishedResult


@pytest.mark.parametrize("comparison", [False, True])
@pytest.mark.parametrize("columns", ["80", "100"])
def test_cell_table_has_a_line_a_row_in_narrow_terminals(columns, comparison, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    result = PublishedResult(50.1, False, "A paper with a long title (arXiv 2401.00001), table 2", "", "")
    monkeypatch.setattr("proxyclip.engine.sweep.display.find_published_result", lambda run: result)
    print_cell_table(make_varied_cells(tmp_path), comparison=comparison)
    header, _, *rows = capsys.readouterr().out.splitlines()[:6]
    assert len({" ".join(row.split()) for row in rows}) == 4 and all(
        len(row) <= int(columns) for row in [header, *rows]
    )
    assert all("r10" in row for row in rows) and [row.split()[-1][:6] for row in rows if not comparison] == (
        [] if comparison else ["012345", "112345", "-", "312345"]
    )
    assert ("target" in header) == comparison


def test_cell_table_says_what_it_has_shortened(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    result = PublishedResult(50.1, True, "A paper with a long title (arXiv 2401.00001), table 2", "", "")
    monkeypatch.setattr("proxyclip.engine.sweep.display.find_published_result", lambda run: result)
    cells = make_varied_cells(tmp_path)
    print_cell_table(cells, comparison=True)
    output = capsys.readouterr().out
    assert "in all rows: VFM vit_base_patch8_224.dino, CLIP ViT-B/16 openai" in output
    assert "* not all images of the data set" in output and "40.02*" in output and f"[1] {result.source}" in output
    print_cell_table(cells, markdown=True, comparison=True)
    output = capsys.readouterr().out
    assert "coco_stuff164k_deeplabv2_r103" in output and "| 0123456789ab" in output and "…" not in output
