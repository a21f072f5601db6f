"""The 95 % interval of the report's comparison: Student's t, and nothing for a few images."""

import json
import math
import shutil
import subprocess

import numpy as np
import pytest
from scipy.special import stdtrit

from proxyclip.results.report import intervals
from proxyclip.results.report.intervals import MIN_INTERVAL_VALUES, mean_interval, student_quantile
from proxyclip.utils.paths import ROOT

# degrees of freedom -> t of 97.5 %, of the usual tables
TABLE = {
    1: 12.7062,
    2: 4.30265,
    3: 3.18245,
    4: 2.77645,
    9: 2.26216,
    10: 2.22814,
    30: 2.04227,
    60: 2.00030,
    120: 1.97993,
}
NODE = shutil.which("node")


def test_student_quantile_is_that_of_the_tables_and_of_scipy():
    for degrees, value in TABLE.items():
        assert student_quantile(degrees) == pytest.approx(value, abs=6e-5 if value > 10 else 6e-6)
    for degrees in [*range(1, 300), 1000, 10_000, 10**6]:
        assert student_quantile(degrees) == pytest.approx(stdtrit(degrees, 0.975), abs=1e-9)
    with pytest.raises(ValueError, match="1 degree of freedom or more, but got 0"):
        student_quantile(0)


def test_interval_is_of_the_mean():
    values = [1.0, 2.0, 4.0, 8.0, 16.0]
    mean, half = mean_interval(values)
    assert mean == 6.2 and half == pytest.approx(2.776445 * np.std(values, ddof=1) / math.sqrt(5), abs=1e-5)
    assert [mean_interval(values[:count]) for count in range(MIN_INTERVAL_VALUES)] == [None] * 5


@pytest.mark.parametrize("count", [5, 6, 10, 60])
def test_interval_holds_the_true_mean_in_95_of_100_cases(count):
    values = np.random.default_rng(count).normal(3.0, 2.0, (4000, count)).tolist()
    hits = [abs(mean - 3) <= half for mean, half in map(mean_interval, values)]
    assert np.mean(hits) == pytest.approx(0.95, abs=0.012)  # 3.5 times the error of 4000 tries


@pytest.mark.skipif(NODE is None, reason="no Node.js here")
def test_the_script_of_the_page_computes_the_same():
    script = (ROOT / "proxyclip/results/report/page/compare.js").read_text(encoding="utf-8")
    start, end = script.index("  function studentQuantile"), script.index("  function summary")
    degrees = [1, 2, 3, 4, 5, 10, 59, 199, 200, 201, 1000, 50_000]
    code = f"{script[start:end]}; console.log(JSON.stringify({degrees}.map(studentQuantile)))"
    output = subprocess.run([NODE, "-e", code], capture_output=True, text=True, check=True).stdout
    assert json.loads(output) == pytest.approx([student_quantile(count) for count in degrees], abs=1e-12)
    assert f"degrees > {intervals._MAX_SERIES_DEGREES}" in script
