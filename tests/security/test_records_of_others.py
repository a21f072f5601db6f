"""A record of somebody else, or a damaged one, is left out with a line, and ends no table, report or sweep."""

import copy
import json
import random
from pathlib import Path

import pytest
from helpers.damages import iter_damages
from helpers.result_records import A1, B2, make_published_record
from helpers.workbook_reader import sheet_rows

from proxyclip.cli.report import main as report
from proxyclip.cli.tables import main as tables
from proxyclip.engine.config.options import SweepOptions
from proxyclip.engine.sweep.cell_table import print_cell_table
from proxyclip.engine.sweep.cells import Cell, find_kept_record
from proxyclip.results.records import hash_metrics, hash_record, load_record, load_records, save_record

MORE = {
    "text_features_sha256": "e" * 64,
    "confusion": {"classes": 2, "label": [0, 0], "prediction": [0, 1], "count": [9, 3]},
    "per_image": {"file": ["a.jpg", "ü.jpg"], "mIoU": [50.123456789012, None], "aAcc": [100.0, 1e-05]},
    "gallery": [{"index": 1, "why": "best", "note": "sky called horse"}],
    "versions": {"torch": "2.0"},
    "command": ["eval.py"],
    "times": {"total_s": 2.5},
    "classes_in": {"mIoU": 2},
    "images_per_second": 2.5,
    "start": "2026-01-01T00:00:00+00:00",
}


@pytest.fixture
def work(tmp_path) -> Path:
    """A work dir with one good record, A1."""
    save_record(make_published_record(A1, **copy.deepcopy(MORE)), tmp_path)
    return tmp_path


def write_foreign(folder: Path, run: dict, name: str = B2) -> None:
    """Write a record as somebody would who knows how its hashes are made."""
    run = {**run, "metrics_sha256": hash_metrics(run)}
    run["record_sha256"] = hash_record(run)
    (folder / "records" / f"{name}.json").write_text(json.dumps(run))


def test_damaged_records_are_left_out_or_equal(work, capsys, damage_count):
    path = work / "records" / f"{A1}.json"
    data = path.read_bytes()
    whole = load_record(work, A1)
    for description, damaged in iter_damages(data, damage_count, seed=1):
        path.write_bytes(damaged)
        capsys.readouterr()
        runs = load_records(work)
        error = capsys.readouterr().err
        assert runs in ([], [whole]), description
        assert runs or (error.count("\n") == 1 and f"{A1}.json is no readable record" in error), description


def test_a_sweep_takes_no_damaged_record_for_a_cell_that_is_done(work, capsys):
    cell, options = Cell("configs/cfg_tinyworld.py", identity=A1), SweepOptions(work_dir=str(work))
    assert find_kept_record(cell, options)["metrics"]["mIoU"] == 61.0 and capsys.readouterr().err == ""
    path = work / "records" / f"{A1}.json"
    path.write_text(path.read_text().replace("61.0", "61.5"))
    assert find_kept_record(cell, options) is None and f"{A1}.json is no readable record" in capsys.readouterr().err
    assert find_kept_record(cell, options, warn=False) is None and capsys.readouterr().err == ""


def test_every_flipped_bit_of_a_number_is_noticed(work):
    path = work / "records" / f"{A1}.json"
    data = path.read_bytes()
    whole = load_record(work, A1)
    for text in (b"61.0", b"50.123456789012", b'"pixels": 12', b"[9, 3]", b'"index": 1', b'"schema": 5'):
        start = data.index(text)
        for place in range(start, start + len(text)):
            for bit in range(8):
                damaged = bytearray(data)
                damaged[place] ^= 1 << bit
                path.write_bytes(damaged)
                assert load_record(work, A1, warn=False) in (None, whole), (text, place - start, bit)


# as in the attack on the toolkit: value of a field -> a record that broke the report or the tables
ATTACKS = {
    "per_image.file": {"per_image": {"file": 5, "mIoU": None, "aAcc": []}},
    "per_class": {"per_class": [{"name": ["a"], "iou": "x"}]},
    "confusion": {"confusion": {"classes": 10**6, "label": [0], "prediction": [0], "count": [1]}},
    "gallery index": {"gallery": [{"index": 10**30, "why": "best"}, 5, None]},
    "gallery": {"gallery": 7, "left_out": 5, "versions": [1], "options": "x", "arguments": [], "dataset": 3},
    "number": {"metrics": {"mIoU": 10**400}},
    "infinite": {"metrics": {"mIoU": float("inf")}},
    "times": {"end": ["x"], "start": 5, "times": "x", "images_per_second": "x"},
    "teacher": {"config": {"model": {"teacher": "x"}}},
    "digits": {"protocol": {"resize": f"{'9' * 5000}x1 keep ratio"}, "end": "9999-12-31T23:59:59-14:00"},
    "identity": {"identity": "/nowhere/at/all"},
    "up": {"identity": "../../../nowhere"},
    "other": {"identity": "c3" * 6},
    "deep": {"config": json.loads("[" * 400 + "]" * 400)},
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_foreign_record_ends_no_reader(attack, work, capsys):
    write_foreign(work, {**load_record(work, A1), "identity": B2, **ATTACKS[attack]})
    assert tables([str(work)]) == 0 and report([str(work)]) == 0
    output = capsys.readouterr()
    is_harmless = attack in ("teacher", "digits")
    assert len(sheet_rows(work / "results.xlsx")) == 1 + is_harmless
    warnings = output.err.splitlines()
    assert len(warnings) == (0 if is_harmless else 2) and all(f"{B2}.json is no readable" in line for line in warnings)
    cell = Cell("configs/cfg_tinyworld.py", state="kept", identity=B2, run=load_record(work, B2))
    print_cell_table([cell], comparison=True)


ODD = (
    None, True, -1, 1.5, 1e308, 2**63 - 1, "", "\ud800", "\x00\x1b[31m", "<b>&\"'`|[x](http://e)", "1" * 5000, [], [[]],
    ["a"], [1, "a", None], {}, {"a": 1}, {"type": 5}, {"": {}}, [{}], "9999-12-31T23:59:59+00:00", "=1+1",
    "0001-01-01T00:00:00+14:00", "999999999999x99999 keep ratio", "local-dir:", "trained/x.py",
)  # fmt: skip


def list_paths(value, path=()):
    """List the paths of all values inside a record but those of its identity."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [found for key, part in parts for found in list_paths(part, (*path, key))]
    return [path, *inner] if path and path[0] not in ("identity", "schema") else inner


def test_random_odd_values_end_no_reader(work, capsys, damage_count):
    generator = random.Random(0)
    whole = load_record(work, A1)
    for number in range(4 * damage_count):
        name = f"{number:012x}"
        run = copy.deepcopy(whole) | {"identity": name}
        *place, key = generator.choice(list_paths(whole))
        parent = run
        for step in place:
            parent = parent[step]
        parent[key] = generator.choice(ODD)
        write_foreign(work, run, name)
    for command in (tables, report):
        assert command([str(work)]) == 0
        warnings = capsys.readouterr().err.splitlines()
        assert all(" is no readable record " in line for line in warnings) and damage_count < len(warnings)
    runs = load_records(work, warn=False)
    assert len(runs) > damage_count
    print_cell_table([Cell("configs/cfg_tinyworld.py", state="kept", run=run) for run in runs], comparison=True)
