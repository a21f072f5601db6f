"""The record of a run: what it says where an earlier one of the same evaluation had other numbers."""

import numpy as np
import pytest
from helpers.result_records import A1, make_record

from proxyclip.engine.evaluation.record import write_record_and_tables
from proxyclip.results.records import load_record


def write(folder, miou, text, **metrics):
    run = make_record(A1, miou, text_features_sha256=text)
    write_record_and_tables({**run, "metrics": {**run["metrics"], **metrics}}, folder)


@pytest.mark.parametrize(("text", "reason"), [("b", "its text features were others"), ("a", "a driver or a library")])
def test_other_numbers_of_the_same_evaluation_are_explained(text, reason, tmp_path, capsys):
    write(tmp_path, 40.0, "a")
    assert capsys.readouterr().err == ""
    write(tmp_path, 50.0, text)
    error = capsys.readouterr().err
    assert "had other numbers before (mIoU 40.00, now 50.00)" in error and reason in error
    assert load_record(tmp_path, A1)["text_features_sha256"] == text


def test_metrics_that_are_no_numbers_are_not_compared(tmp_path, capsys):
    for value in ([1.0], "x"):
        write(tmp_path, np.float32(40), None, new=value)
    assert capsys.readouterr().err == ""


def test_a_damaged_record_of_the_same_evaluation_is_named_and_replaced(tmp_path, capsys):
    write(tmp_path, 40.0, "a")
    path = tmp_path / "records" / f"{A1}.json"
    path.write_text(path.read_text().replace("40.0", "41.0"))
    write(tmp_path, 40.0, "a")
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "do not fit its `metrics_sha256`" in error
    assert load_record(tmp_path, A1)["metrics"]["mIoU"] == 40.0
