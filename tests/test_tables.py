"""results.xlsx, results.csv, results.md: what they show, that they are the same every time, and that none is lost."""

import csv
import io
import math
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from zipfile import ZipFile

import pytest
from openpyxl import load_workbook
from test_results import kill_while, run

from proxyclip import results
from proxyclip.results import __main__ as door
from proxyclip.results import columns, published, tables
from proxyclip.results.text import TITLES

ROOT = Path(__file__).parents[1]
NAMES = (results.WORKBOOK, results.CSV, results.MARKDOWN)


def known(identity: str = "a1", miou: float = 61.0, **more) -> dict:
    """A record of schema 4 that has a published result, 61.3."""
    model = {"type": "ProxyCLIPSegmentation", "model_type": "ViT-B/16", "clip_type": "openai"}
    return {
        **run(identity, miou),
        "config_name": "cfg_voc21",
        "method": "proxy",
        "options": {"config": "configs/cfg_voc21.py", "method": None},
        "config": {"model": {**model, "vfm_model": {"type": "dino"}}},
        "changes": [],
        "approximations": [],
        "left_out": [],
        "scoring": "correct",
        "partial": False,
        **more,
    }


def sheet(path, name="Summary"):
    header, *rows = load_workbook(path)[name].iter_rows(values_only=True)
    return header, [dict(zip(header, row, strict=True)) for row in rows]


def rows_of(folder: Path) -> dict[str, list[str]]:
    """Identities in each of the three tables."""
    with (folder / results.CSV).open(encoding="utf-8", newline="") as file:
        text = [row["identity"] for row in csv.DictReader(file)]
    lines = [line for line in (folder / results.MARKDOWN).read_text().splitlines() if line.startswith("| ")][2:]
    book = [row["identity"] for row in sheet(folder / results.WORKBOOK)[1]]
    return {"xlsx": book, "csv": text, "md": [line.split("|")[-2].strip() for line in lines]}


def of_each(identities: list[str]) -> dict[str, list[str]]:
    return dict.fromkeys(("xlsx", "csv", "md"), identities)


def rules(book, name="Summary"):
    return {str(area.sqref): [rule.type for rule in area.rules] for area in book[name].conditional_formatting}


def test_workbook_order_types_and_looks(tmp_path):
    results.record(run("b2", end="2026-01-02"), tmp_path)
    results.record(run("a1", end="2026-01-03"), tmp_path)
    path = results.table(tmp_path)
    header, rows = sheet(path)
    assert header[:7] == ("Model", "CLIP", "VFM", "Dataset", "aAcc", "mIoU", "mAcc") == results.FIRST_COLUMNS
    assert header[7:11] == ("method", "protocol", "published", "difference") and header[-1] == "identity"
    assert header[11:13] == ("mIoU_gt", "fwIoU") and len(set(header)) == len(header)
    assert [row["identity"] for row in rows] == ["b2", "a1"]
    assert rows[0]["VFM"] == "dino" and rows[0]["Model"] == "ViT-B/16" and rows[0]["CLIP"] == "openai"
    assert rows[0]["mIoU"] == 37.123456789 and rows[0]["dirty"] is False and rows[0]["crop"] == 336
    assert rows[0]["attention"] == "Proxy(beta=1.2, gamma=3.0)" and rows[0]["limit"] is None
    book = load_workbook(path)
    summary = book["Summary"]
    assert summary.freeze_panes == "E2" and summary["F2"].number_format == "0.00"
    assert summary.auto_filter.ref == summary.dimensions and summary["A1"].font.bold
    assert summary.column_dimensions["D"].width >= len("PascalVOC20Dataset")
    assert summary.cell(2, header.index("prob_thd") + 1).number_format == "General"
    assert book.sheetnames == ["Summary", "PascalVOC20Dataset", "Environment"]


def test_published_results_stand_beside_ours(tmp_path):
    results.record(known("a1", 61.0), tmp_path)
    naclip = {"model": {**known()["config"]["model"], "vfm_model": None}}
    results.record(known("b2", 60.0, method="naclip", config=naclip, end="2026-01-02"), tmp_path)
    results.record(known("c3", 55.0, changes=["model.prob_thd=0.5"], end="2026-01-03"), tmp_path)
    path = results.table(tmp_path)
    rows = {row["identity"]: row for row in sheet(path)[1]}
    assert rows["a1"]["published"] == 61.3 and rows["a1"]["difference"] == pytest.approx(-0.3)
    assert rows["b2"]["published"] == 58.9 and rows["b2"]["difference"] == pytest.approx(1.1)
    assert rows["c3"]["published"] is None and rows["c3"]["difference"] is None
    assert rows["c3"]["changes"] == "model.prob_thd=0.5" and rows["a1"]["changes"] is None
    assert "2408.04883" in rows["a1"]["published in"] and "not as here" in rows["b2"]["published in"]
    book = load_workbook(path)
    assert rules(book)["F2 F3 F4"] == ["colorScale"] and rules(book)["K2:K4"] == ["cellIs", "cellIs"]
    assert book["Summary"]["J3"].font.italic and not book["Summary"]["J2"].font.italic
    text = (tmp_path / results.MARKDOWN).read_text()
    assert "|     61.30 |      -0.30 |" in text and "58.90 ~ |    +1.10 ~ |" in text


def test_runs_of_one_data_set_are_comparable_and_of_two_are_not(tmp_path):
    for number, name in enumerate(("cfg_voc21", "cfg_ade20k", "cfg_voc21")):
        results.record(known(f"{number}", 50.0 + number, config_name=name, end=f"2026-01-0{number + 1}"), tmp_path)
    assert set(rules(load_workbook(results.table(tmp_path)))) == {"F2 F4", "F3", "K2:K4"}


def test_classes_of_runs_stand_side_by_side(tmp_path):
    results.record(known("a1", 61.0), tmp_path)
    results.record(known("b2", 40.0, end="2026-01-02", changes=["model.refine=pamr"], partial=True), tmp_path)
    results.record(known("c3", 30.0, end="2026-01-03", config_name="sclip/cfg_voc21"), tmp_path)
    other = [{"name": "[sky]", "iou": 1.5, "acc": 2.0, "pixels": 7}]
    results.record(known("d4", 20.0, end="2026-01-04", per_class=other), tmp_path)
    results.record(known("e5", 20.0, end="2026-01-05", config_name="x/cfg_" + "[y]" * 20), tmp_path)
    results.record(known("f6", 20.0, end="2026-01-06", config_name="x/cfg_" + "[y]" * 20 + "z"), tmp_path)
    book = load_workbook(results.table(tmp_path))
    assert set(book.sheetnames[1:-1]) >= {"voc21", "voc21 (2)", "sclip voc21"} and len(book.sheetnames) == 7
    assert all(len(name) <= 31 and not set(name) & set("[]:*?/\\") for name in book.sheetnames)
    at, (*_, other) = "voc21", book["voc21 (2)"].iter_rows(values_only=True)
    assert other == ("[sky]", 7, 1.5)
    rows = list(book[at].iter_rows(values_only=True))
    assert [row[2:] for row in rows[:6]] == [
        ("proxy", "proxy, refine=pamr"), ("dino", "dino"), ("ViT-B/16 openai",) * 2, (1449, "1449 (partial)"),
        (61, 40), ("a1", "b2"),
    ]  # fmt: skip
    assert rows[5][:2] == ("class", "pixels") and rows[4][0] == "mIoU"
    assert rows[6] == ("sky", 12, 80.25, 80.25) and rows[7] == ("horse", 0, None, None)
    assert book[at].freeze_panes == "C7" and rules(book, at) == {"C5:D5 C7:D8": ["colorScale"]}
    assert book[at]["D5"].number_format == '0.00"*"' and book[at]["D7"].font.italic and not book[at]["C7"].font.italic


def test_runs_that_are_not_over_all_images_are_marked(tmp_path):
    results.record(known("a1"), tmp_path)
    results.record(known("b2", 60.5, partial=True, dataset={"type": "X", "images": 20}, end="2026-01-02"), tmp_path)
    results.record(known("c3", 60.5, left_out=[{"file": "a.jpg", "why": "cut"}], end="2026-01-03"), tmp_path)
    path = results.table(tmp_path)
    summary, rows = load_workbook(path)["Summary"], sheet(path)[1]
    assert [summary[f"F{row}"].number_format for row in (2, 3, 4)] == ["0.00", '0.00"*"', '0.00"*"']
    assert [row["left out"] for row in rows] == [0, 0, 1] and [row["published"] for row in rows] == [61.3, None, None]
    assert next(iter(rules(load_workbook(path)))) == "F2"
    text = (tmp_path / results.MARKDOWN).read_text()
    assert "20 (partial) |" in text and "1449 (1 left out) |" in text


def test_environment_has_all_that_says_where_a_number_is_from(tmp_path):
    more = {"weights": {"clip": "c" * 64, "vfm": None}, "vocabulary": {"file": "cls.txt", "classes": 2, "names": 5}}
    more |= {
        "versions": {"torch": "2.1", "python": "3.12", "zlib": "1", "mmcv compiled ops": False},
        "templates": {"count": 80},
    }
    results.record(known(command=["eval.py", "--config", "my configs/a.py"], times={"total_s": 2.5}, **more), tmp_path)
    results.record(
        run("b2", end="2026-01-02", arguments={"clip_sha256": "old"}, versions={"python": "3.10", "new": "7"}), tmp_path
    )
    header, (old, new) = sheet(results.table(tmp_path), "Environment")
    assert header[-6:] == ("python", "mmcv compiled ops", "new", "torch", "zlib", "command")
    assert old["command"] == "eval.py --config 'my configs/a.py'" and old["total s"] == 2.5 and old["templates"] == 80
    assert old["CLIP sha256"] == "c" * 64 and new["CLIP sha256"] == "old" and old["mmcv compiled ops"] is False
    assert new["torch"] is None and new["new"] == "7" and old["vocabulary"] == "cls.txt" and old["names"] == 5


def test_protocol_is_said_in_short_words():
    sizes = {"slide_crop": 336, "slide_stride": 112}

    def said(name, resize, **arguments):
        return results.COLUMNS["protocol"](
            {"config_name": name, "protocol": {"resize": resize}, "arguments": arguments}
        )

    assert said("cfg_voc21", "2048x336 keep ratio", **sizes) == "cfg_voc21: 336, 336/112"
    assert said("cfg_a", "512x512", slide_crop=[224, 336], slide_stride=56) == "cfg_a: 512x512, 224x336/56"
    assert said("cfg_a", "short side 512", slide_crop=512, slide_stride=426) == "cfg_a: short side 512, 512/426"
    assert said("cfg_a", None, slide_crop=0, slide_stride=112) == "cfg_a: whole" and said(None, None) == ""


def test_old_records_are_shown(tmp_path):
    results.record(run("a1", schema=3, approximations=["vfm=image"], arguments={"vfm_model": "dino-s8"}), tmp_path)
    results.record({"schema": 1, "identity": "b2", "metrics": {}}, tmp_path)
    odd = {"per_class": ["?"], "arguments": None, "left_out": 3, "command": "eval.py", "versions": [1], "changes": None}
    results.record({"identity": "c3", "metrics": {"mIoU": "?"}, "config": 1, "end": 5, **odd}, tmp_path)
    _, rows = sheet(results.table(tmp_path))
    assert {row["identity"] for row in rows} == {"a1", "b2", "c3"}
    row = next(row for row in rows if row["identity"] == "a1")
    assert row["VFM"] == "dino-s8" and row["approximations"] == "vfm=image" and row["published"] is None


def test_no_vfm_and_no_records(tmp_path):
    assert sheet(results.table(tmp_path))[1] == [] and rows_of(tmp_path)["md"] == []
    results.record(run(arguments={"vfm_model": None}), tmp_path)
    row = sheet(results.table(tmp_path))[1][0]
    assert row["VFM"] == "none" and row["CLIP"] == "-"
    assert load_workbook(tmp_path / results.WORKBOOK)["Summary"]["B2"].quotePrefix


def test_numbers_that_are_none_leave_cells_empty(tmp_path):
    results.record(run(metrics={"mIoU": math.nan, "aAcc": 1.0}), tmp_path)
    text = (tmp_path / "records" / "a1.json").read_text()
    (tmp_path / "records" / "b2.json").write_text(text.replace('"aAcc": 1.0', '"aAcc": NaN').replace("a1", "b2"))
    _, rows = sheet(results.table(tmp_path))
    assert [(row["mIoU"], row["aAcc"]) for row in rows] == [(None, 1), (None, None)]
    assert "nan" not in ZipFile(tmp_path / results.WORKBOOK).read("xl/worksheets/sheet1.xml").decode().lower()
    assert "nan" not in (tmp_path / results.CSV).read_text().lower()


EVIL = (
    "=HYPERLINK(1)",
    "+1+1",
    "-1+cmd",
    "@SUM(A1)",
    '=cmd|"/c calc"!A1',
    "#N/A",
    "a|b\nc",
    "\x07bell",
    "\udcff.jpg",
    "üñ",
)


def test_no_text_becomes_a_formula(tmp_path):
    for number, text in enumerate(EVIL):
        classes = [{"name": text, "iou": 1.0, "pixels": 1}]
        one = run(f"{number}", end=f"{number}", method=text, per_class=classes, config_name=text, command=[text])
        results.record(one, tmp_path)
    book = load_workbook(results.table(tmp_path))
    assert {cell.data_type for page in book for row in page for cell in row} <= {"n", "s", "b"}
    _, rows = sheet(tmp_path / results.WORKBOOK)
    assert [row["method"] for row in rows][:7] == list(EVIL[:7]) and rows[7]["method"] == "bell"
    table = list(csv.DictReader(io.StringIO((tmp_path / results.CSV).read_bytes().decode(), newline="")))
    assert [row["method"] for row in table[:7]] == [f"'{text}" for text in EVIL[:5]] + list(EVIL[5:7])
    assert not [value for row in table for value in row.values() if value[:1] in ("=", "+", "@")]
    lines = (tmp_path / results.MARKDOWN).read_text().splitlines()
    assert "a\\|b c" in lines[8] and len({line.replace("\\|", "").count("|") for line in lines[:12]}) == 1


def test_csv_has_all_columns_in_full_precision(tmp_path):
    results.record(known(miou=1 / 3, method='a "b", c'), tmp_path)
    results.table(tmp_path)
    data = (tmp_path / results.CSV).read_bytes()
    assert data.endswith(b"\r\n") and data.count(b"\n") == data.count(b"\r\n") == 2 and b'"a ""b"", c"' in data
    (row,) = csv.DictReader(io.StringIO(data.decode()))
    assert tuple(row) == tuple(results.COLUMNS) and float(row["mIoU"]) == 1 / 3


def test_the_same_records_give_the_same_bytes(tmp_path):
    for name in ("a1", "b2", "c3"):
        results.record(
            known(name, end=f"2026-03-04T05:06:{ord(name[0]) - 90:02}.500000+02:00", per_class=known()["per_class"]),
            tmp_path,
        )
    results.table(tmp_path)
    first = {name: (tmp_path / name).read_bytes() for name in NAMES}
    for seed in ("1", "2"):
        again = [sys.executable, "-m", "proxyclip.results", str(tmp_path)]
        subprocess.run(again, check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True)
        assert {name: (tmp_path / name).read_bytes() for name in NAMES} == first
    with ZipFile(tmp_path / results.WORKBOOK) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 3, 4, 3, 6, 8)}
        assert archive.read("docProps/core.xml").count(b"2026-03-04T03:06:09Z") == 2


def test_a_repeated_run_replaces_its_row(tmp_path):
    results.record(run(miou=1.0), tmp_path)
    results.table(tmp_path)
    results.record(run(miou=2.0), tmp_path)
    assert [row["mIoU"] for row in sheet(results.table(tmp_path))[1]] == [2.0]


@pytest.mark.parametrize("name", NAMES)
def test_what_cannot_be_replaced_gets_a_neighbour(name, tmp_path, capsys):
    (tmp_path / name / "open").mkdir(parents=True)  # a folder of that name cannot be replaced
    results.record(run(), tmp_path)
    book = results.table(tmp_path)
    (beside,) = tmp_path.glob(f"results-*{Path(name).suffix}")
    assert len(sheet(book)[1]) == 1 and (book == beside) == (name == results.WORKBOOK)
    assert f"{name} cannot be replaced" in (said := capsys.readouterr().err) and beside.name in said
    assert all((tmp_path / other).is_file() for other in NAMES if other != name)


def test_an_open_or_protected_workbook_is_left_alone(tmp_path, monkeypatch, capsys):
    results.record(run(), tmp_path)
    path = results.table(tmp_path)
    before, rename = path.read_bytes(), Path.replace

    def opened(self, target):
        if Path(target) == path:
            raise PermissionError(13, "The process cannot access the file because it is being used by another process")
        return rename(self, target)

    results.record(run("b2"), tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", opened)
        beside = results.table(tmp_path)
    assert path.read_bytes() == before and len(sheet(beside)[1]) == 2 and "being used" in capsys.readouterr().err
    beside.unlink()
    path.chmod(0o444)
    beside = results.table(tmp_path)
    assert path.read_bytes() == before and len(sheet(beside)[1]) == 2 and "write-protected" in capsys.readouterr().err
    assert len(rows_of(tmp_path)["csv"]) == 2


def test_a_full_disk_leaves_the_old_tables(tmp_path, monkeypatch):
    results.record(run(), tmp_path)
    results.table(tmp_path)
    before, write = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}, Path.write_bytes

    def full(self, data):
        write(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    results.record(run("b2"), tmp_path)
    with pytest.raises(OSError, match="No space left"):
        results.table(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_a_lock_that_another_holds_is_waited_for_and_then_done_without(tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(tables, "LOCK_SECONDS", 0.2)
    results.record(run(), tmp_path)
    with (tmp_path / ".results.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        results.table(tmp_path)
    assert rows_of(tmp_path)["xlsx"] == ["a1"] and "another process has held it" in capsys.readouterr().err
    results.table(tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(37, "No locks available")])
def test_without_locks_no_record_is_missed(error, tmp_path, monkeypatch, capsys):
    def refuse(*_, **__):
        raise error

    write = tables._write

    def meanwhile(folder):
        written = write(folder)
        if not results.find(folder, "b2"):
            results.record(run("b2"), folder)  # another process finishes after the records were read
        return written

    monkeypatch.setattr(tables.FileLock, "acquire", refuse)
    monkeypatch.setattr(tables, "_write", meanwhile)
    results.record(run(), tmp_path)
    results.table(tmp_path)
    assert rows_of(tmp_path)["xlsx"] == ["a1", "b2"] and "without it" in capsys.readouterr().err


def _finish(folder, number, together):
    read = tables.store.records

    def slowly(folder):
        found = read(folder)
        time.sleep(0.3)  # what is read now is old when it is written
        return found

    for i in range(3):
        together.wait(60)
        if (number, i) == (0, 2):
            tables.store.records = slowly  # in this process only
        results.record(run(f"{number}-{i}"), folder)
        results.table(folder)


def test_processes_that_finish_at_once_lose_nothing(tmp_path):
    context = multiprocessing.get_context("fork")
    together = context.Barrier(8)
    workers = [context.Process(target=_finish, args=(tmp_path, n, together)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * 8
    everyone = sorted(f"{n}-{i}" for n in range(8) for i in range(3))
    assert {kind: sorted(found) for kind, found in rows_of(tmp_path).items()} == of_each(everyone)
    assert {path.name for path in tmp_path.iterdir()} <= {*NAMES, "records", ".results.lock"}


def _without_end(folder, started):
    number = 0
    while True:
        results.record(run(f"{number % 4}", count=number), folder)
        results.table(folder)
        number += 1
        if number == 4:
            started.set()


def test_sigkill_at_any_moment_leaves_whole_tables(tmp_path):
    for delay in (0.0, 0.013, 0.029, 0.041):
        kill_while(_without_end, tmp_path, delay)
        assert len(results.records(tmp_path)) == 4
        assert {kind: sorted(found) for kind, found in rows_of(tmp_path).items()} == of_each(["0", "1", "2", "3"])
    results.table(tmp_path)  # the lock of a killed process is free


def test_the_command_rebuilds_the_tables(tmp_path, capsys):
    results.record(run(), tmp_path)
    assert door.main([str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "records: 1" in said and all(str(tmp_path / name) in said and (tmp_path / name).is_file() for name in NAMES)


def test_the_command_refuses_a_folder_without_records(tmp_path, capsys):
    def refusal(folder):
        assert door.main([str(folder)]) == 2
        said = capsys.readouterr()
        assert said.out == "" and not (tmp_path / results.WORKBOOK).exists()
        return said.err

    assert "no folder" in (said := refusal(tmp_path / "nowhere")) and said.count("\n") == 1
    assert "has no records" in (said := refusal(tmp_path)) and said.count("\n") == 1
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text("{")
    assert "can be read" in refusal(tmp_path)


def test_the_published_results_are_read_once(tmp_path):
    published.rows.cache_clear()
    for name in ("a1", "b2"):
        results.record(known(name), tmp_path)
    results.table(tmp_path)
    assert published.rows.cache_info().misses == 1


def test_the_vfm_is_called_as_it_was_asked_for():
    family = {"arguments": {"vfm_model": {"type": "tiny", "model": "local-dir:a/mae"}}}
    names = {"tiny-mae": "tiny-mae", "dino,/big/weights/x.pth": "dino,x.pth", "my/own.py": "own.py", None: "tiny"}
    assert {asked: columns.vfm({**family, "options": {"vfm": asked}}) for asked in names} == names
    assert columns.vfm({"arguments": {"vfm_model": None}}) == columns.vfm({}) == "none"


def zero_shot(identity: str = "z1", **more) -> dict:
    """A record of a trained model and of a data set with a zero-shot split: `horse` is unseen."""
    made = known(identity, end="2026-02-01", config_name="trained/cfg_voc21", method="maskclip_plus")
    made["metrics"] |= {"mIoU_seen": 80.25, "mIoU_unseen": 20.0, "hIoU": 32.02}
    made["per_class"] = [{**one, "unseen": one["name"] == "horse"} for one in made["per_class"]]
    made["arguments"] = {**made["arguments"], "student": {"type": "segformer_b0"}, "vfm_model": None}
    trained = {"checkpoint": "iter_200.pth", "sha256": "e" * 64, "iteration": 200}
    return {**made, "trained": trained, **more}


def test_seen_and_unseen_have_columns(tmp_path):
    results.record(known("a1", arguments={**known()["arguments"], "checkpoint": "dino.pth"}), tmp_path)
    results.record(zero_shot(partial=True), tmp_path)
    book = load_workbook(results.table(tmp_path))
    header, (plain, split) = sheet(tmp_path / results.WORKBOOK)
    assert header[11:17] == ("mIoU_gt", "fwIoU", "mIoU_seen", "mIoU_unseen", "hIoU", "scoring")
    names = ("mIoU_seen", "mIoU_unseen", "hIoU", "student", "checkpoint")
    assert [split[name] for name in names] == [80.25, 20, 32.02, "segformer_b0", "iter_200.pth"]
    assert [plain[name] for name in names] == [None] * 5  # the VFM's file is no checkpoint of ours
    cell = book["Summary"].cell(3, header.index("hIoU") + 1)
    assert cell.number_format == '0.00"*"' and cell.font.italic
    _, (_, made) = sheet(tmp_path / results.WORKBOOK, "Environment")
    assert (made["checkpoint sha256"], made["iteration"]) == ("e" * 64, 200)
    with (tmp_path / results.CSV).open(encoding="utf-8", newline="") as file:
        assert [row["hIoU"] for row in csv.DictReader(file)] == ["", "32.02"]


def test_unseen_classes_are_marked_in_their_sheet(tmp_path):
    results.record(zero_shot(), tmp_path)
    results.record(known("a1", config_name="trained/cfg_voc21"), tmp_path)
    book = load_workbook(results.table(tmp_path))
    named = {name: [row[0].value for row in book[name].iter_rows(min_row=7)] for name in book.sheetnames[1:-1]}
    marked = named.pop("trained voc21 (2)")
    assert (marked, named) == (["sky", "horse (unseen)"], {"trained voc21": ["sky", "horse"]})


def test_the_short_table_has_the_zero_shot_columns_only_where_there_are_such_runs(tmp_path):
    results.record(known("a1"), tmp_path)
    results.table(tmp_path)
    before = (tmp_path / results.MARKDOWN).read_text()
    results.record(zero_shot(), tmp_path)
    results.table(tmp_path)
    header, rule, plain, split, *_, legend = (tmp_path / results.MARKDOWN).read_text().splitlines()
    titles = [part.strip() for part in header.strip("|").split("|")]
    assert titles == [*TITLES[:7], "mIoU_seen", "mIoU_unseen", "hIoU", *TITLES[7:]]
    assert "hIoU" not in before and legend.endswith("hIoU: their harmonic mean.")
    cells = [[part.strip() for part in line.strip("|").split("|")][7:10] for line in (rule, plain, split)]
    assert [part[-1] for part in cells[0]] == [":"] * 3 and cells[1:] == [["-"] * 3, ["80.25", "20.00", "32.02"]]


def test_a_sheet_is_named_by_the_end_of_a_long_name():
    from proxyclip.results.classes import _title

    assert _title("sclip/cfg_voc21", []) == "sclip voc21"
    name = "trained/maskclip_plus/annofree/context59_deeplabv2_r101"
    assert _title(name, []) == "context59_deeplabv2_r101"
    assert _title("trained/maskclip_plus/zero_shot/voc20_segformer_b0", []) == "zero_shot voc20_segformer_b0"
