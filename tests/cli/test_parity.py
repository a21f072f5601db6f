"""`python -m proxyclip parity`: the table, exit codes, messages."""

import math
import shutil

import numpy as np
import pytest
from helpers.reference import HERE

from proxyclip.cli.parity import format_stage_difference, format_tolerance, main
from proxyclip.engine.parity.cases import COUNTS, EXACT, LABELS, ParityResult, Tolerance


@pytest.fixture
def changed(tmp_path):
    """The arrays of the repository, those of NACLIP apart: its cosines of one window are 0.001 larger."""
    for path in HERE.iterdir():
        if path.name != "methods":
            (tmp_path / path.name).symlink_to(path)
    shutil.copytree(HERE / "methods", tmp_path / "methods")
    with np.load(HERE / "methods" / "naclip.npz") as file:
        arrays = dict(file)
    arrays["smooth112_logits__sub8"] = arrays["smooth112_logits__sub8"] + np.float32(1e-3)
    del arrays["smooth64_window"]
    np.savez(tmp_path / "methods" / "naclip.npz", **arrays)
    return tmp_path


@pytest.mark.slow
def test_wrong_array_fails_and_is_named(changed, capsys):
    assert main(["naclip", "--golden", str(changed)]) == 1
    output = capsys.readouterr().out
    rows = [line.split() for line in output.splitlines()]
    assert ["smooth112", "logits", "1.0e-03", "5e-06", "differs"] in rows
    assert ["smooth64", "window", "-", "1e-06", "error"] in rows
    assert "in all rows: method naclip" in output
    assert "naclip/smooth64/window: KeyError: Expected an array 'smooth64_window' in methods/naclip" in output
    assert "19 stages of 8 cases" in output
    assert "2 beyond tolerance, naclip/smooth64/window, naclip/smooth112/logits" in output
    assert main(["naclip", "--golden", str(changed), "--failed"]) == 1
    rows = [line.split()[:2] for line in capsys.readouterr().out.splitlines() if line.startswith("smooth")]
    assert rows == [["smooth64", "window"], ["smooth112", "logits"]]


@pytest.mark.slow
def test_arrays_of_the_repository_are_the_default(capsys):
    assert main(["clearclip", "--failed"]) == 0
    versions, counts = capsys.readouterr().out.splitlines()
    assert versions.startswith("torch ") and "; float32 on " in versions
    assert counts.endswith(": all within tolerance")


def test_unknown_names_and_folders_have_a_remedy(tmp_path, capsys):
    assert main(["naclop"]) == 2
    assert "error: There is no method 'naclop' with reference arrays: did you mean naclip?" in capsys.readouterr().err
    assert main(["--golden", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert f"error: Expected reference arrays in {tmp_path}, but it has no text.npz" in error
    assert "--golden CHECKOUT/tests/golden" in error


@pytest.mark.parametrize(
    ("tolerance", "difference", "outliers", "texts"),
    [
        (Tolerance(2e-5), 1.2e-6, 0, ("1.2e-06", "2e-05")),
        (EXACT, 1.0, 4, ("1.0e+00", "exact")),
        (LABELS, 3.0, 2, ("2 of 4000", "2 may differ")),
        (COUNTS, 1.0, 2, ("2 of 4000", "20 may differ by 1")),
        (Tolerance(5e-5, outlier_share=0.01, bound=5e-2), 4e-5, 0, ("4.0e-05", "5e-05, 40 up to 5e-02")),
        (
            Tolerance(5e-5, outlier_share=0.01, bound=5e-2),
            4e-3,
            7,
            ("4.0e-03, 7 of 4000 beyond", "5e-05, 40 up to 5e-02"),
        ),
    ],
)
def test_differences_are_printed_in_the_terms_of_their_tolerance(tolerance, difference, outliers, texts):
    result = ParityResult("m", "c", "s", tolerance, difference, outliers, 4000)
    assert (format_stage_difference(result), format_tolerance(result)) == texts
    failed = ParityResult("m", "c", "s", tolerance, math.inf, 0, 0, "TypeError: no such option")
    assert (format_stage_difference(failed), failed.passed) == ("-", False)
