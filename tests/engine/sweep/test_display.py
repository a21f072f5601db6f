"""Console display of a sweep: the live table, or lines."""

import json
import os
import re
from pathlib import Path
from unittest.mock import Mock

import pytest
from helpers.sweep_cells import make_cells, make_varied_cells
from rich.console import Console

from proxyclip.engine.sweep.cells import Cell
from proxyclip.engine.sweep.display import SweepDisplay
from proxyclip.engine.sweep.run import read_progress
from proxyclip.utils.formats import format_duration


def render_text(view: SweepDisplay, height: int = 24) -> str:
    view.console = Console(record=True, width=120, height=height, file=Path(os.devnull).open("w"))  # noqa: SIM115
    view.console.print(view.render())
    return view.console.export_text()


def test_live_table_shows_states_rates_and_time_left(tmp_path):
    cells = make_cells(["done", "running", "waiting", "failed", "kept"], tmp_path)
    clock = Mock(return_value=0.0)
    view = SweepDisplay(cells, lines=False, clock=clock)
    assert "left" not in render_text(view).splitlines()[0]  # nothing is known yet
    cells[1].progress.write_text(json.dumps({"done": 75, "total": 100, "images_per_second": 5.0}))
    clock.return_value = 15.0
    text = render_text(view)
    # 100 images and 75 less the 25 it began with make 150 in 15 s; 25 and 100 are ahead
    assert text.startswith("3/5 cells, 1 running, 1 failed, 15 s so far, about 12 s left")
    lines = {line.split()[2]: line for line in text.splitlines() if "cfg_some" in line}
    assert list(lines) == ["m1", "m2", "m3", "m4", "m5"]
    assert "75 %" in lines["m2"] and "5.0" in lines["m2"] and "5 s" in lines["m2"]
    assert lines["m1"].split()[-4:] == ["min", "26", "s", "40.01"] and lines["m5"].split()[-1] == "40.05"
    assert "failed" in lines["m4"] and "waiting" in lines["m3"] and "more" not in text


def test_live_table_of_200_cells_fits_the_screen(tmp_path):
    states = ["kept"] * 60 + ["done"] * 30 + ["failed"] * 2 + ["running"] * 4 + ["waiting"] * 104
    cells = make_cells(states, tmp_path)
    view = SweepDisplay(cells, lines=False, clock=Mock(return_value=0.0))
    for cell in cells[:92]:
        view.update(cell)
    text = render_text(view, height=24)
    assert len(text.splitlines()) <= 24
    shown = [int(line.split()[0]) for line in text.splitlines() if "cfg_some" in line]
    assert set(shown) >= {91, 92, 93, 94, 95, 96, 90} and shown == sorted(shown)
    rest = re.search(r"and (\d+) more: (.*)", text)
    assert rest is not None and int(rest[1]) == 200 - len(shown)
    assert sum(int(number) for number in re.findall(r"\d+", rest[2])) == int(rest[1])
    assert "104 waiting" in rest[2] and "kept" in rest[2]


def test_progress_that_cannot_be_read_is_none(tmp_path):
    cell = Cell("configs/cfg_some.py")
    assert read_progress(cell) is None
    cell.progress = tmp_path / "1.json"
    assert read_progress(cell) is None
    for text in ("", "{", "[]", '{"done": 1}', '{"done": "x", "total": 1, "images_per_second": 1}'):
        cell.progress.write_text(text)
        assert read_progress(cell) is None
    cell.progress.write_text('{"done": 1, "total": 2, "images_per_second": null}')
    assert read_progress(cell) == {"done": 1, "total": 2, "images_per_second": 0}


def test_lines_replace_the_table_without_a_terminal(tmp_path, capsys):
    waiting, done, kept = make_cells(["waiting", "done", "kept"], tmp_path)
    kept.seconds = 0.0
    kept.progress = waiting.progress = None
    view = SweepDisplay([waiting, done, kept], lines=True)
    for cell in (waiting, kept):
        view.update(cell)
    done.state = "running"
    view.update(done)
    done.state = "done"
    view.update(done)
    assert capsys.readouterr().out == (
        "[3/3] configs/cfg_some.py\n    kept: mIoU 40.03\n"
        "[2/3] configs/cfg_some.py\n    done: mIoU 40.02 (1 min 26 s)\n"
    )
    view.together = True
    view.update(done)
    assert capsys.readouterr().out == "[2/3] done: mIoU 40.02 (1 min 26 s)\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.6, "1 min 00 s"), (86, "1 min 26 s"), (3599.7, "1 h 00 min"), (11100, "3 h 05 min")],
)
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text


def test_live_table_fits_80_columns(tmp_path):
    view = SweepDisplay(make_varied_cells(tmp_path), lines=False, clock=Mock(return_value=0.0))
    view.console = Console(record=True, width=80, height=24, file=Path(os.devnull).open("w"))  # noqa: SIM115
    view.console.print(view.render())
    lines = view.console.export_text().splitlines()
    assert sum("r10" in line for line in lines) == 4 and "ViT-B/16 openai" in lines[-1] and len(lines) == 8
