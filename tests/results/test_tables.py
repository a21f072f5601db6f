"""Result tables (results.xlsx, results.csv, results.md): content, equal bytes, no lost record."""

import csv
import io
import math
import multiprocessing
import os
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock
from zipfile import ZipFile

import pytest
from helpers.result_records import A1, B2, C3, CONFIG_MODEL, D4, kill_writer, make_published_record, make_record
from helpers.workbook_reader import sheet_names, sheet_rows
from openpyxl import load_workbook
from openpyxl.utils import column_index_from_string, get_column_letter

from proxyclip.cli.tables import main
from proxyclip.results import columns, tables
from proxyclip.results.columns import RECORD_COLUMNS, ZERO_SHOT_METRICS, format_protocol, format_vfm
from proxyclip.results.records import load_record, load_records, save_record
from proxyclip.results.spreadsheet import count_utf16_units, make_sheet_title
from proxyclip.results.tables import CSV_NAME, MARKDOWN_NAME, WORKBOOK_NAME, _write, rebuild_tables
from proxyclip.utils.paths import ROOT

TABLES = (WORKBOOK_NAME, CSV_NAME, MARKDOWN_NAME)


def write_tables(folder: Path, *runs: dict) -> Path:
    """Save records, rebuild the tables, and return the path of the workbook."""
    for run in runs:
        save_record(run, folder)
    return rebuild_tables(folder)


def csv_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / CSV_NAME).open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def markdown_rows(folder: Path) -> list[dict[str, str]]:
    lines = [line for line in (folder / MARKDOWN_NAME).read_text().splitlines() if line.startswith("|")]
    header, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return [dict(zip(header, row, strict=True)) for row in rows]


def identities(folder: Path) -> list[list[str]]:
    """Identities in each of the three tables."""
    tables_rows = sheet_rows(folder / WORKBOOK_NAME), csv_rows(folder), markdown_rows(folder)
    return [[row["identity"] for row in rows] for rows in tables_rows]


def shaded_runs(path: Path) -> list[set[str]]:
    """Identities of the runs whose mIoU share a color scale in the summary."""
    sheet = load_workbook(path)["Summary"]
    names = [cell.value for cell in sheet[1]]
    scales = [area for area in sheet.conditional_formatting if area.rules[0].type == "colorScale"]
    rows = [{row for cells in area.sqref.ranges for row, _ in cells.left} for area in scales]
    return [{sheet.cell(row, names.index("identity") + 1).value for row in group} for group in rows]


def test_summary_has_the_columns_in_order_and_typed_values(tmp_path):
    path = write_tables(tmp_path, make_record(B2, end="2026-01-02"), make_record(A1, end="2026-01-03"))
    row, other = sheet_rows(path)
    assert list(row)[:7] == ["Model", "CLIP", "VFM", "Dataset", "aAcc", "mIoU", "mAcc"]
    assert list(row) == list(RECORD_COLUMNS) and (row["identity"], other["identity"]) == (B2, A1)
    assert (row["VFM"], row["Model"], row["CLIP"], row["mIoU"]) == ("dino", "ViT-B/16", "openai", 37.123456789)
    assert row["dirty"] is False and row["crop"] == 336 and row["limit"] is None
    assert row["attention"] == "Proxy(beta=1.2, gamma=3.0)"
    assert sheet_names(path) == ["Summary", "PascalVOC20Dataset", "Environment"]


def test_all_tables_follow_the_order_of_record_columns(tmp_path, monkeypatch):
    moved = {"identity": RECORD_COLUMNS["identity"], **RECORD_COLUMNS}
    monkeypatch.setattr(columns, "RECORD_COLUMNS", moved)
    sheet = load_workbook(write_tables(tmp_path, make_published_record()))["Summary"]
    assert [cell.value for cell in sheet[1]] == list(csv_rows(tmp_path)[0]) == list(moved)
    assert next(iter(markdown_rows(tmp_path)[0])) == "identity"
    assert sheet[sheet.freeze_panes].row == 2
    assert sheet.cell(1, sheet[sheet.freeze_panes].column).value == "aAcc"  # what is left of it names the run


def test_tables_have_published_number_and_difference(tmp_path):
    save_record(make_published_record(A1, 61.0), tmp_path)
    naclip = {"model": {**CONFIG_MODEL, "vfm_model": None}}
    save_record(make_published_record(B2, 60.0, method="naclip", config=naclip, end="2026-01-02"), tmp_path)
    changed = make_published_record(C3, 55.0, changes=["model.prob_thd=0.5"], end="2026-01-03")
    path = write_tables(tmp_path, changed)
    rows = {row["identity"]: row for row in sheet_rows(path)}
    assert rows[A1]["published"] == 61.3 and rows[A1]["difference"] == pytest.approx(-0.3)
    assert rows[B2]["published"] == 58.9 and rows[B2]["difference"] == pytest.approx(1.1)
    assert rows[C3]["published"] is None and rows[C3]["difference"] is None
    assert rows[C3]["changes"] == "model.prob_thd=0.5" and rows[A1]["changes"] is None
    assert "2408.04883" in rows[A1]["published in"] and "not as here" in rows[B2]["published in"]
    cells = {row["identity"]: (row["published"], row["difference"]) for row in markdown_rows(tmp_path)}
    assert cells == {A1: ("61.30", "-0.30"), B2: ("58.90 ~", "+1.10 ~"), C3: ("-", "-")}


def test_summary_shades_runs_of_a_data_set_together(tmp_path):
    names = ("cfg_voc21", "cfg_ade20k", "cfg_voc21")
    path = write_tables(
        tmp_path, *(make_published_record(f"{i}" * 12, config_name=name) for i, name in enumerate(names))
    )
    assert sorted(shaded_runs(path), key=len) == [{"1" * 12}, {"0" * 12, "2" * 12}]


def test_class_sheets_have_a_column_a_run(tmp_path):
    save_record(make_published_record(A1, 61.0), tmp_path)
    partial = {"changes": ["model.refine=pamr"], "partial": True}
    save_record(make_published_record(B2, 40.0, end="2026-01-02", **partial), tmp_path)
    save_record(make_published_record(C3, 30.0, end="2026-01-03", config_name="sclip/cfg_voc21"), tmp_path)
    other = [{"name": "[sky]", "iou": 1.5, "acc": 2.0, "pixels": 7}]
    save_record(make_published_record(D4, 20.0, end="2026-01-04", per_class=other), tmp_path)
    long = "x/cfg_" + "[y]" * 20
    path = write_tables(
        tmp_path, *(make_published_record(f"e{i}" * 6, end="5", config_name=long + "z" * i) for i in (0, 1))
    )
    names = sheet_names(path)
    assert set(names) >= {"voc21", "voc21 (2)", "sclip voc21"} and len(names) == 7
    assert all(len(name) <= 31 and not set(name) & set("[]:*?/\\") for name in names)
    assert sheet_rows(path, "voc21 (2)")[-1] == {"class": "[sky]", "pixels": 7, D4: 1.5}
    rows = {row["class"]: row for row in sheet_rows(path, "voc21")}
    assert {name: (row[A1], row[B2]) for name, row in rows.items()} == {
        "method": ("proxy", "proxy, refine=pamr"), "VFM": ("dino", "dino"), "CLIP": ("ViT-B/16 openai",) * 2,
        "images": (1449, "1449 (partial)"), "mIoU": (61, 40), "sky": (80.25, 80.25), "horse": (None, None),
    }  # fmt: skip
    assert [rows[name]["pixels"] for name in ("sky", "horse")] == [12, 0]


def test_tables_mark_partial_runs(tmp_path):
    save_record(make_published_record(A1), tmp_path)
    part = {"partial": True, "dataset": {"type": "X", "images": 20}}
    save_record(make_published_record(B2, 60.5, end="2026-01-02", **part), tmp_path)
    left_out = [{"file": "a.jpg", "why": "cut"}]
    path = write_tables(tmp_path, make_published_record(C3, 60.5, left_out=left_out, end="2026-01-03"))
    rows = sheet_rows(path)
    sheet = load_workbook(path)["Summary"]
    miou = list(rows[0]).index("mIoU") + 1
    assert ["*" in sheet.cell(row, miou).number_format for row in (2, 3, 4)] == [False, True, True]
    assert [row["left out"] for row in rows] == [0, 0, 1] and [row["published"] for row in rows] == [61.3, None, None]
    assert shaded_runs(path) == [{A1}]
    images = [row["images"] for row in markdown_rows(tmp_path)]
    assert images == ["1449", "20 (partial)", "1449 (1 left out)"]


def test_environment_sheet_has_all_package_versions(tmp_path):
    more = {
        "weights": {"clip": "c" * 64, "vfm": None}, "vocabulary": {"file": "cls.txt", "classes": 2, "names": 5},
        "versions": {"torch": "2.1", "python": "3.12", "zlib": "1", "mmcv compiled ops": False},
        "command": ["eval.py", "--config", "my configs/a.py"], "times": {"total_s": 2.5}, "templates": {"count": 80},
    }  # fmt: skip
    other = make_record(B2, end="2026-01-02", versions={"python": "3.10", "new": "7"})
    first, second = sheet_rows(write_tables(tmp_path, make_published_record(**more), other), "Environment")
    assert list(first)[-6:] == ["python", "mmcv compiled ops", "new", "torch", "zlib", "command"]
    assert first["command"] == "eval.py --config 'my configs/a.py'" and first["total s"] == 2.5
    assert first["CLIP sha256"] == "c" * 64 and second["CLIP sha256"] is None and first["mmcv compiled ops"] is False
    assert second["torch"] is None and second["new"] == "7"
    assert (first["vocabulary"], first["names"], first["templates"]) == ("cls.txt", 5, 80)


def test_format_protocol():
    sizes = {"slide_crop": 336, "slide_stride": 112}

    def protocol(name, resize, **arguments):
        return format_protocol({"config_name": name, "protocol": {"resize": resize}, "arguments": arguments})

    assert protocol("cfg_voc21", "2048x336 keep ratio", **sizes) == "cfg_voc21: 336, 336/112"
    assert protocol("cfg_a", "512x512", slide_crop=[224, 336], slide_stride=56) == "cfg_a: 512x512, 224x336/56"
    assert protocol("cfg_a", "short side 512", slide_crop=512, slide_stride=426) == "cfg_a: short side 512, 512/426"
    assert protocol("cfg_a", None, slide_crop=0, slide_stride=112) == "cfg_a: whole" and protocol(None, None) == ""


def test_format_vfm_prefers_the_name_that_was_asked_for():
    family = {"arguments": {"vfm_model": {"type": "tiny", "model": "local-dir:a/mae"}}}
    names = {"tiny-mae": "tiny-mae", "dino,/big/weights/x.pth": "dino,x.pth", "my/own.py": "own.py", None: "tiny"}
    assert {asked: format_vfm({**family, "options": {"vfm": asked}}) for asked in names} == names
    assert format_vfm({"arguments": {"vfm_model": None}}) == format_vfm({}) == "none"


def test_tables_accept_records_with_few_or_odd_values(tmp_path):
    odd = {"per_class": [], "arguments": None, "command": "eval.py", "versions": {"a": None}, "changes": None}
    save_record({"identity": C3, "metrics": {"mIoU": None, "new": ["?"]}, "end": "later", **odd}, tmp_path)
    save_record({"identity": B2, "metrics": {}, "end": "0001-01-01T00:00:00+14:00"}, tmp_path)
    rebuild_tables(tmp_path)
    assert list(map(sorted, identities(tmp_path))) == [[B2, C3]] * 3


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("sclip/cfg_voc21", "sclip voc21"),
        ("trained/maskclip_plus/annofree/context59_deeplabv2_r101", "context59_deeplabv2_r101"),
        ("trained/maskclip_plus/zero_shot/voc20_segformer_b0", "zero_shot voc20_segformer_b0"),
    ],
)
def test_class_sheet_title_keeps_the_end_of_a_long_config_name(tmp_path, name, title):
    assert sheet_names(write_tables(tmp_path, make_published_record(config_name=name)))[1] == title


def test_tables_accept_no_record_and_no_vfm(tmp_path):
    rebuild_tables(tmp_path)
    assert identities(tmp_path) == [[]] * 3
    (row,) = sheet_rows(write_tables(tmp_path, make_record(arguments={"vfm_model": None})))
    assert row["VFM"] == "none" and row["CLIP"] == "-"


def test_undefined_numbers_give_empty_cells(tmp_path):
    save_record(make_record(metrics={"mIoU": math.nan, "aAcc": 1.0}), tmp_path)
    (row,) = sheet_rows(rebuild_tables(tmp_path))
    assert (row["mIoU"], row["aAcc"]) == (None, 1)
    assert "nan" not in ZipFile(tmp_path / WORKBOOK_NAME).read("xl/worksheets/sheet1.xml").decode().lower()
    assert "nan" not in (tmp_path / CSV_NAME).read_text().lower()


EVIL = ("=HYPERLINK(1)", "+1+1", "-1+cmd", "@SUM(A1)", '=cmd|"/c calc"!A1', "#N/A", "a|b\nc", "\x07bell", "\udcff.jpg")


def test_tables_escape_formulas_and_control_characters(tmp_path):
    for number, text in enumerate(EVIL):
        classes = [{"name": text, "iou": 1.0, "pixels": 1}]
        texts = {"method": text, "config_name": text, "command": [text], "per_class": classes}
        save_record(make_record(f"{number}" * 12, end=f"{number}", **texts), tmp_path)
    path = rebuild_tables(tmp_path)
    assert {cell.data_type for page in load_workbook(path) for row in page for cell in row} <= {"n", "s", "b"}
    methods = [row["method"] for row in sheet_rows(path)]
    assert methods[:7] == list(EVIL[:7]) and methods[7] == "bell"
    table = list(csv.DictReader(io.StringIO((tmp_path / CSV_NAME).read_bytes().decode("utf-8-sig"), newline="")))
    assert [row["method"] for row in table[:7]] == [f"'{text}" for text in EVIL[:5]] + list(EVIL[5:7])
    assert not [value for row in table for value in row.values() if value[:1] in ("=", "+", "@")]
    lines = (tmp_path / MARKDOWN_NAME).read_text().splitlines()
    assert "a\\|b c" in lines[8] and len({line.replace("\\|", "").count("|") for line in lines[:11]}) == 1


def test_csv_has_all_columns_in_full_precision(tmp_path):
    write_tables(tmp_path, make_published_record(miou=1 / 3, method='a "b", c'))
    data = (tmp_path / CSV_NAME).read_bytes()
    assert data.endswith(b"\r\n") and data.count(b"\n") == data.count(b"\r\n") == 2 and b'"a ""b"", c"' in data
    (row,) = csv_rows(tmp_path)
    assert tuple(row) == tuple(RECORD_COLUMNS) and float(row["mIoU"]) == 1 / 3


def test_markdown_numbers_are_right_aligned(tmp_path):
    write_tables(tmp_path, make_published_record())
    header, rule, row, *_ = (tmp_path / MARKDOWN_NAME).read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in (header, rule)]
    right = {name for name, dashes in zip(*cells, strict=True) if dashes.endswith(":")}
    assert right == {"aAcc", "mIoU", "mAcc", "published", "difference", "images"}
    assert len(header) == len(rule) == len(row)  # readable without rendering


def test_same_records_give_the_same_bytes(tmp_path):
    for name in (A1, B2, C3):
        end = f"2026-03-04T05:06:{ord(name[0]) - 90:02}.500000+02:00"
        save_record(make_published_record(name, end=end), tmp_path)
    rebuild_tables(tmp_path)
    first = {name: (tmp_path / name).read_bytes() for name in TABLES}
    for seed in ("1", "2"):
        again = [sys.executable, "-m", "proxyclip", "tables", str(tmp_path)]
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        output = subprocess.run(again, check=True, cwd=ROOT, env=environment, capture_output=True, text=True).stdout
        assert "records: 3" in output and all(str(tmp_path / name) in output for name in TABLES)
        assert {name: (tmp_path / name).read_bytes() for name in TABLES} == first
    with ZipFile(tmp_path / WORKBOOK_NAME) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(2026, 3, 4, 3, 6, 8)}
        assert archive.read("docProps/core.xml").count(b"2026-03-04T03:06:09Z") == 2


@pytest.mark.parametrize("name", TABLES)
def test_table_that_cannot_be_replaced_is_written_beside(name, tmp_path, capsys):
    (tmp_path / name / "open").mkdir(parents=True)  # a folder of that name cannot be replaced
    book = write_tables(tmp_path, make_record())
    (beside,) = tmp_path.glob(f"results-*{Path(name).suffix}")
    assert len(sheet_rows(book)) == 1 and (book == beside) == (name == WORKBOOK_NAME)
    error = capsys.readouterr().err
    assert f"{name} cannot be replaced" in error and beside.name in error
    assert all((tmp_path / other).is_file() for other in TABLES if other != name)


def test_write_protected_workbook_is_kept_and_the_new_one_written_beside(tmp_path, capsys):
    path = write_tables(tmp_path, make_record())
    before = path.read_bytes()
    path.chmod(0o444)
    beside = write_tables(tmp_path, make_record(B2))
    assert path.read_bytes() == before and len(sheet_rows(beside)) == 2
    assert "write-protected" in capsys.readouterr().err and len(csv_rows(tmp_path)) == 2


def test_full_disk_leaves_the_old_tables(tmp_path, monkeypatch):
    write_tables(tmp_path, make_record())
    before, write = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}, Path.write_bytes

    def full(self, data):
        write(self, data[: len(data) // 2])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    save_record(make_record(B2), tmp_path)
    with pytest.raises(OSError, match="No space left"):
        rebuild_tables(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_lock_of_another_process_times_out(tmp_path, monkeypatch, capsys):
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr("proxyclip.results.tables.LOCK_SECONDS", 0.2)
    save_record(make_record(), tmp_path)
    with (tmp_path / ".results.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        rebuild_tables(tmp_path)
    assert identities(tmp_path)[0] == [A1] and "another process has held it" in capsys.readouterr().err
    rebuild_tables(tmp_path)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("error", [NotImplementedError("no flock"), OSError(37, "No locks available")])
def test_tables_without_lock_miss_no_record(error, tmp_path, monkeypatch, capsys):
    def write_and_add(folder):
        written = _write(folder)
        if not load_record(folder, B2):
            save_record(make_record(B2), folder)  # another process finishes after the records were read
        return written

    monkeypatch.setattr(tables.FileLock, "acquire", Mock(side_effect=error))
    monkeypatch.setattr(tables, "_write", write_and_add)
    write_tables(tmp_path, make_record())
    assert identities(tmp_path)[0] == [A1, B2] and "without it" in capsys.readouterr().err


def _finish(folder, number, together):
    read = tables.load_records

    def read_slowly(folder):
        runs = read(folder)
        time.sleep(0.3)  # what is read now is old when it is written
        return runs

    for i in range(3):
        together.wait(60)
        if (number, i) == (0, 2):
            tables.load_records = read_slowly  # in this process only
        save_record(make_record(f"{number}{i}" * 6), folder)
        rebuild_tables(folder)


def test_concurrent_processes_lose_no_record(tmp_path):
    context = multiprocessing.get_context("fork")
    together = context.Barrier(8)
    workers = [context.Process(target=_finish, args=(tmp_path, n, together)) for n in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [w.exitcode for w in workers] == [0] * 8
    everyone = sorted(f"{n}{i}" * 6 for n in range(8) for i in range(3))
    assert list(map(sorted, identities(tmp_path))) == [everyone] * 3
    assert {path.name for path in tmp_path.iterdir()} <= {*TABLES, "records", ".results.lock"}


def _write_without_end(folder, started):
    number = 0
    while True:
        save_record(make_record(f"{number % 4}" * 12, count=number), folder)
        rebuild_tables(folder)
        number += 1
        if number == 4:
            started.set()


def test_sigkill_leaves_whole_tables(tmp_path):
    for delay in (0.0, 0.013, 0.029, 0.041):
        kill_writer(_write_without_end, tmp_path, delay)
        assert len(load_records(tmp_path)) == 4
        assert list(map(sorted, identities(tmp_path))) == [[digit * 12 for digit in "0123"]] * 3
    rebuild_tables(tmp_path)  # the lock of a killed process is free


def test_tables_command_refuses_a_folder_without_records(tmp_path, capsys):
    (tmp_path / "broken" / "records").mkdir(parents=True)
    (tmp_path / "broken" / "records" / "a.json").write_text("{")
    for folder, text in (("nowhere", "no folder"), (".", "has no records"), ("broken", "can be read")):
        assert main([str(tmp_path / folder)]) == 2
        output = capsys.readouterr()
        assert text in output.err and output.out == "" and not list(tmp_path.rglob(WORKBOOK_NAME))


def zero_shot_record(identity: str = "e5" * 6, **changes) -> dict:
    """Make the record of a trained model and of a data set with a zero-shot split: `horse` is unseen."""
    run = make_published_record(identity, end="2026-02-01", config_name="trained/cfg_voc21", method="maskclip_plus")
    run["metrics"] |= {"mIoU_seen": 80.25, "mIoU_unseen": 20.0, "hIoU": 32.02}
    run["per_class"] = [{**row, "unseen": row["name"] == "horse"} for row in run["per_class"]]
    run["arguments"] = {**run["arguments"], "student": {"type": "segformer_b0"}, "vfm_model": None}
    trained = {"checkpoint": "iter_200.pth", "sha256": "e" * 64, "iteration": 200}
    return {**run, "trained": trained, **changes}


def test_zero_shot_metrics_have_columns(tmp_path):
    arguments = {**make_record()["arguments"], "checkpoint": "dino.pth"}
    runs = make_published_record(A1, arguments=arguments), zero_shot_record(partial=True)
    plain, split = sheet_rows(write_tables(tmp_path, *runs))
    names = ("mIoU_seen", "mIoU_unseen", "hIoU", "student", "checkpoint")
    assert [split[name] for name in names] == [80.25, 20, 32.02, "segformer_b0", "iter_200.pth"]
    assert [plain[name] for name in names] == [None] * 5  # the VFM's file is no checkpoint of a training
    _, environment = sheet_rows(tmp_path / WORKBOOK_NAME, "Environment")
    assert (environment["checkpoint sha256"], environment["iteration"]) == ("e" * 64, 200)
    assert [row["hIoU"] for row in csv_rows(tmp_path)] == ["", "32.02"]


def test_unseen_classes_are_marked_in_their_sheet(tmp_path):
    path = write_tables(tmp_path, zero_shot_record(), make_published_record(A1, config_name="trained/cfg_voc21"))
    classes = {name: [row["class"] for row in sheet_rows(path, name)][-2:] for name in sheet_names(path)[1:-1]}
    assert classes == {"trained voc21": ["sky", "horse"], "trained voc21 (2)": ["sky", "horse (unseen)"]}


def test_markdown_has_zero_shot_columns_only_if_a_run_has_a_split(tmp_path):
    for run, has_columns in ((make_published_record(A1), False), (zero_shot_record(), True)):
        write_tables(tmp_path, run)
        assert ("hIoU" in (tmp_path / MARKDOWN_NAME).read_text()) == has_columns
    cells = [[row[name] for name in ZERO_SHOT_METRICS] for row in markdown_rows(tmp_path)]
    assert cells == [["-"] * 3, ["80.25", "20.00", "32.02"]]
    assert (tmp_path / MARKDOWN_NAME).read_text().endswith("hIoU: their harmonic mean.\n")


def test_csv_begins_with_the_mark_of_utf8(tmp_path):
    write_tables(tmp_path, make_published_record(method="天空"))
    data = (tmp_path / CSV_NAME).read_bytes()
    assert data.startswith(b"\xef\xbb\xbfModel,") and "天空" in data.decode("utf-8-sig")


@pytest.mark.parametrize(
    "name",
    [
        "😀" * 30,
        "ab" * 8 + "👩‍🔬" * 6,
        "e\u0301" * 40,
        "cfg_" + "x" * 30 + "😀",
        "a/b*c?d[e]f:g\\h" * 4,
        "'" * 40,
        "History",
    ],
    ids=["emoji", "joined", "accents", "pair at the cut", "forbidden", "apostrophes", "reserved"],
)
def test_class_sheet_titles_are_those_excel_takes(tmp_path, name):
    runs = [make_published_record(f"{i}" * 12, config_name=name.swapcase() if i else name) for i in range(2)]
    runs.append(make_published_record("2" * 12, config_name=name, per_class=[{"name": "sky", "iou": 1.0, "pixels": 1}]))
    titles = sheet_names(write_tables(tmp_path, *runs))
    assert len(titles) >= 4 and len({title.casefold() for title in titles}) == len(titles)
    for title in titles:
        assert 0 < count_utf16_units(title) <= 31 and not set(title) & set("[]:*?/\\")
        assert title.strip("' ") == title and title.lower() != "history"


def test_sheet_titles_cut_no_character_in_two():
    assert make_sheet_title("😀" * 30, []) == "😀" * 15
    assert make_sheet_title("e\u0301" * 20, []) == "é" * 20  # composed where that is one character
    assert make_sheet_title("x\u0331" * 20, []) == "x\u0331" * 15
    assert make_sheet_title("ab👩‍🔬" * 6, []) == "ab👩‍🔬" * 4 + "ab"
    assert make_sheet_title("🇩🇪" * 9, ["🇩🇪" * 7]) == "🇩🇪" * 6 + " (2)"
    assert make_sheet_title("straße", ["STRASSE"]) == "straße (2)"
    assert make_sheet_title("a\ud83d", []) == make_sheet_title("a\ufffe", []) == "a"


def test_sheets_print_on_pages_of_a4_with_their_header(tmp_path):
    runs = [make_published_record(f"{i}" * 12, miou=i, command=["eval.py", "x" * 60]) for i in range(3)]
    book = load_workbook(write_tables(tmp_path, *runs))
    for sheet in book:
        setup = sheet.page_setup
        assert (setup.orientation, int(setup.paperSize), setup.fitToWidth, setup.fitToHeight) == ("landscape", 9, 1, 0)
        assert sheet.sheet_properties.pageSetUpPr.fitToPage and sheet.freeze_panes
        rows = sheet.print_title_rows.replace("$", "").split(":")
        assert rows[0] == "1" and int(rows[1]) == sheet[sheet.freeze_panes].row - 1
    area = book["Summary"].print_area
    last = sheet_column(area.split(":")[1])
    titles = [cell.value for cell in book["Summary"][1]][:last]
    assert {"Model", "mIoU", "method", "protocol", "published", "difference"} <= set(titles)
    assert sum(book["Summary"].column_dimensions[get_column_letter(i)].width for i in range(1, last + 1)) < 215


def sheet_column(place: str) -> int:
    """Number of the column of a cell such as $K$4."""
    return column_index_from_string(place.strip("$").split("$")[0])


def test_columns_are_as_wide_as_wide_characters(tmp_path):
    name = "天空与草地和石头与海水"
    classes = [{"name": name, "iou": 1.0, "pixels": 1}]
    path = write_tables(tmp_path, make_published_record(per_class=classes))
    assert load_workbook(path)[sheet_names(path)[1]].column_dimensions["A"].width >= 2 * len(name)
