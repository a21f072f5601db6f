"""Records: written atomically, readable, hashed by their metrics, read by identity."""

import json
import math
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from helpers.result_records import A1, B2, C3, kill_writer, make_record

from proxyclip.results import records
from proxyclip.results.records import extract_metrics, hash_metrics, load_record, load_records, save_record
from proxyclip.utils.io import replace_file


def test_saved_record_is_json_in_full_precision(tmp_path):
    path = save_record(make_record(), tmp_path)
    assert path == tmp_path / "records" / f"{A1}.json"
    kept = json.loads(path.read_text())
    assert kept["schema"] == records.RECORD_SCHEMA and kept["metrics"]["mIoU"] == 37.123456789
    assert kept["per_class"][1]["iou"] is None and kept["metrics"]["mAcc"] == 50.0
    assert [f.name for f in path.parent.iterdir()] == [f"{A1}.json"]  # nothing temporary stays


def test_saved_record_has_a_key_a_line_and_flat_lists(tmp_path):
    matrix = np.random.default_rng(0).integers(0, 9, (40, 40))
    images = {"file": [f"{i}.jpg" for i in range(500)], "mIoU": np.linspace(0, 100, 500), "aAcc": [math.nan] * 500}
    parts = {"confusion": records.to_sparse_confusion(matrix), "per_image": images, "left_out": []}
    path = save_record(make_record(**parts, config={"a": [[1, 2], [3]]}), tmp_path)
    lines = path.read_text().splitlines()
    assert len(lines) < 70
    assert '  {"name": "sky", "iou": 80.25, "acc": 90.0, "pixels": 12},' in lines
    assert sum(line.lstrip().startswith('"mIoU": [0.0, 0.2004') for line in lines) == 1 and ' "left_out": [],' in lines
    kept = json.loads(path.read_text())
    assert (records.to_dense_confusion(kept) == matrix).all() and kept["per_image"]["aAcc"] == [None] * 500
    assert kept["per_image"]["mIoU"] == np.linspace(0, 100, 500).tolist() and kept["config"] == {"a": [[1, 2], [3]]}


def test_hash_metrics_depends_on_the_metrics_alone(tmp_path):
    kept = json.loads(save_record(make_record(), tmp_path).read_text())
    assert kept["metrics_sha256"] == hash_metrics(make_record()) == hash_metrics(kept)
    assert extract_metrics(kept) == extract_metrics(make_record())
    assert hash_metrics(make_record(B2, end="later", precision="fp16")) == kept["metrics_sha256"]
    changes = (
        {"miou": 37.1234567890001}, {"scoring": "published"}, {"left_out": [{"file": "a", "why": "b"}]},
        {"per_image": {"file": ["a"]}}, {"confusion": {"classes": 1}}, {"per_class": []}, {"classes_in": {}},
    )  # fmt: skip
    others = [hash_metrics(make_record(**change)) for change in changes]
    assert len({kept["metrics_sha256"], *others}) == 8


def test_load_record_opens_the_file_of_its_identity_only(tmp_path, capsys):
    save_record(make_record(A1), tmp_path)
    save_record(make_record(B2, miou=2.0), tmp_path)
    (tmp_path / "records" / "zz.json").write_text('{"identity": ')
    found = load_record(tmp_path, B2)
    assert found is not None and found["metrics"]["mIoU"] == 2.0
    (tmp_path / "records" / "copy.json").write_bytes((tmp_path / "records" / f"{A1}.json").read_bytes())
    assert [load_record(tmp_path, name) for name in ("zz", "nothing", "copy", "", "..", f"../records/{A1}")] == [
        None
    ] * 6
    assert capsys.readouterr().err == ""  # no other file was opened


def test_load_records_orders_runs_of_one_second(tmp_path):
    names = [B2, C3, A1]
    for name in names:
        save_record(make_record(name, end=records.utc_timestamp()), tmp_path)
    assert [one["identity"] for one in load_records(tmp_path)] == names


SCHEMAS = (1, 3, 6, "null")
BROKEN = (
    '{"identity": ', "[]", '{"schema": 4, "identity": 3, "metrics": {}}', '{"schema": 4, "identity": "a"}', "\xff",
    "[" * 100000, *(f'{{"schema": {schema}, "identity": "b2b2b2b2b2b2", "metrics": {{}}}}' for schema in SCHEMAS),
)  # fmt: skip


@pytest.mark.parametrize("text", BROKEN)
def test_load_records_skips_and_reports_a_broken_record_or_another_schema(text, tmp_path, capsys):
    save_record(make_record(), tmp_path)
    (tmp_path / "records" / f"{B2}.json").write_text(text, encoding="latin-1")
    assert [one["identity"] for one in load_records(tmp_path)] == [A1]
    error = capsys.readouterr().err
    assert f"{B2}.json is no readable record" in error and error.count("\n") == 1
    assert B2 not in text or "(expected schema 4 or 5, but got" in error
    assert load_record(tmp_path, B2) is None
    assert capsys.readouterr().err == error
    assert load_record(tmp_path, B2, warn=False) is None and capsys.readouterr().err == ""


def rewrite(folder: Path, **changes) -> Path:
    """Write a record's file anew with other fields, its hashes as they were."""
    path = save_record(make_record(), folder)
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return path


def test_a_record_whose_content_does_not_fit_its_hashes_is_left_out(tmp_path, capsys):
    rewrite(tmp_path, metrics={"aAcc": 71.5, "mIoU": 37.123456788, "mAcc": 50.0})
    assert load_records(tmp_path) == [] and "do not fit its `metrics_sha256`" in capsys.readouterr().err
    for field in ({"precision": "fp16"}, {"added": 1}, {"record_sha256": None}, {"schema": 4, "precision": "fp16"}):
        rewrite(tmp_path, **field)
        assert load_records(tmp_path) == [] and "does not fit its `record_sha256`" in capsys.readouterr().err


def test_a_record_of_schema_4_needs_no_hash_of_the_whole(tmp_path, capsys):
    path = rewrite(tmp_path, schema=4, precision="fp16")
    run = json.loads(path.read_text())
    del run["record_sha256"]
    path.write_text(json.dumps(run))
    (read,) = load_records(tmp_path)
    assert read["precision"] == "fp16" and capsys.readouterr().err == ""
    save_record(read, tmp_path)
    (read,) = load_records(tmp_path)
    assert read["schema"] == records.RECORD_SCHEMA and read["record_sha256"] == records.hash_record(read)


def test_only_plain_files_of_a_bounded_size_are_read(tmp_path, capsys, monkeypatch):
    path = save_record(make_record(), tmp_path)
    os.mkfifo(tmp_path / "records" / f"{B2}.json")
    (tmp_path / "records" / f"{C3}.json").symlink_to("/dev/zero")
    assert [run["identity"] for run in load_records(tmp_path)] == [A1]
    assert capsys.readouterr().err.count("it is no plain file") == 2
    monkeypatch.setattr(records, "MAX_RECORD_BYTES", path.stat().st_size - 1)
    assert load_record(tmp_path, A1) is None and "Expected a record of at most" in capsys.readouterr().err


@pytest.mark.parametrize("identity", ["a1", "../" * 4, "A1A1A1A1A1A1", "/tmp/aaaaaaa", "a1a1a1a1a1a1\n"])
def test_an_identity_is_twelve_hexadecimal_digits(identity, tmp_path):
    with pytest.raises(ValueError, match="12 hexadecimal digits"):
        save_record(make_record(identity), tmp_path)
    assert load_record(tmp_path, identity) is None and not list(tmp_path.iterdir())


def test_failed_save_keeps_the_old_record(tmp_path, monkeypatch):
    path, write = save_record(make_record(miou=1.0), tmp_path), Path.write_text

    def full(self, text, *args, **options):
        write(self, text[: len(text) // 2], *args, **options)
        raise OSError(28, "No space left on device")

    for name, failure in (("write_text", full), ("replace", Mock(side_effect=KeyboardInterrupt))):
        with monkeypatch.context() as patch, pytest.raises((OSError, KeyboardInterrupt)):
            patch.setattr(Path, name, failure)
            save_record(make_record(miou=2.0), tmp_path)
        assert json.loads(path.read_text())["metrics"]["mIoU"] == 1.0 and len(list(path.parent.iterdir())) == 1


def test_replace_file_syncs_before_it_renames(tmp_path, monkeypatch):
    calls, sync, rename = [], os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (calls.append("sync"), sync(handle))[1])
    monkeypatch.setattr(Path, "replace", lambda self, target: (calls.append("rename"), rename(self, target))[1])
    replace_file(tmp_path / "file", lambda temporary: temporary.write_bytes(b"all"))
    assert calls[:2] == ["sync", "rename"] and (tmp_path / "file").read_bytes() == b"all"


def test_concurrent_threads_do_not_mix_a_record(tmp_path):
    def write(number: int) -> None:
        for _ in range(10):
            save_record(make_record(miou=float(number), notes=[number] * 2000), tmp_path)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    kept = json.loads((tmp_path / "records" / f"{A1}.json").read_text())
    assert kept["notes"] == [kept["metrics"]["mIoU"]] * 2000
    assert len(list((tmp_path / "records").iterdir())) == 1


def _write_without_end(folder, started):
    number = 0
    while True:
        save_record(make_record(f"{number % 3}" * 12, notes=list(range(20000)), count=number), folder)
        number += 1
        if number == 3:
            started.set()


def test_sigkill_leaves_whole_records_and_stale_files_are_removed(tmp_path):
    for delay in (0.0, 0.003, 0.011, 0.02, 0.037):
        kill_writer(_write_without_end, tmp_path, delay)
        whole = [json.loads(path.read_text()) for path in (tmp_path / "records").glob("*.json")]
        assert len(whole) == 3 and all(one["notes"] == list(range(20000)) for one in whole)
    (tmp_path / "records" / f".{A1}.json.123.tmp").write_text("left by a killed writer")
    (tmp_path / ".mine.tmp").write_text("of another program")
    young = tmp_path / ".results.xlsx.1-2-3.tmp"
    young.write_text("being written")
    long_ago = time.time() - 2 * 24 * 3600
    for path in [*(tmp_path / "records").iterdir(), tmp_path / ".mine.tmp"]:
        os.utime(path, (long_ago, long_ago))
    records.remove_stale_files(tmp_path)
    assert sorted(path.name for path in (tmp_path / "records").iterdir()) == [f"{digit * 12}.json" for digit in "012"]
    assert young.exists() and (tmp_path / ".mine.tmp").exists()


def test_hash_identity_depends_on_its_parts_only():
    assert records.hash_identity({"a": 1, "b": 2}, None) == records.hash_identity({"b": 2, "a": 1}, None)
    assert records.hash_identity({"a": 1}) != records.hash_identity({"a": 2})
