"""Every case of `python -m proxyclip parity` is within tolerance, and what is not is told."""

import math

import numpy as np
import pytest
import torch
from helpers.damages import iter_damages
from helpers.reference import HERE

from proxyclip.engine.parity.cases import (
    COUNTS,
    EXACT,
    LABELS,
    ParityCase,
    ParityResult,
    ParityStage,
    Tolerance,
    run_case,
)
from proxyclip.engine.parity.method_names import UnknownParityMethod, list_parity_methods
from proxyclip.engine.parity.reference import GoldenNotFound, GoldenSet
from proxyclip.engine.parity.run import load_parity_cases
from proxyclip.engine.parity.world import ParityWorld

CASES = [case for method in list_parity_methods() for case in load_parity_cases(method)]


@pytest.fixture(scope="module")
def golden():
    """The arrays of the repository, not the full ones."""
    return GoldenSet(HERE)


@pytest.fixture(scope="module")
def world(golden, tmp_path_factory):
    return ParityWorld(golden, tmp_path_factory.mktemp("parity"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method}-{case.name}")
def test_method_equals_its_published_code(case, world):
    failures = [result for result in run_case(case, world) if not result.passed]
    assert not failures, failures


def test_every_array_of_a_method_is_compared(golden):
    """All but settings, row numbers, and shapes and statistics of thinned arrays."""
    for file in sorted((HERE / "methods").glob("*.npz")):
        cases = [case for case in CASES if case.method == file.stem]
        if not cases:
            continue
        stages = [(case, name, stage) for case in cases for name, stage in case.stages.items()]
        compared = {getattr(stage, "array", None) or f"{case.name}_{name}" for case, name, stage in stages}
        ignored = ("_crop_stride_ori", "_index", "__shape", "__stats")
        stored = {name for name in golden.arrays(f"methods/{file.stem}") if not name.endswith(ignored)}
        missing = {name for name in stored if name.partition("__")[0] not in compared and name not in compared}
        assert not missing, missing


def test_reference_arrays_are_small():
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 8e6


def make_result(tolerance: Tolerance, error: list[float]) -> ParityResult:
    outliers = sum(value > tolerance.limit for value in error)
    return ParityResult("m", "c", "s", tolerance, max(error), outliers, len(error))


@pytest.mark.parametrize(
    ("tolerance", "error", "passed"),
    [
        (Tolerance(1e-3), [0, 1e-3], True),
        (Tolerance(1e-3), [0, 2e-3], False),
        (Tolerance(1e-3, outlier_share=0.5, bound=1), [0, 1], True),
        (Tolerance(1e-3, outlier_share=0.5, bound=1), [0, 2], False),
        (Tolerance(1e-3, outlier_share=0.4, bound=1), [0, 1], False),
        (Tolerance(0, max_outliers=1, bound=math.inf), [0, 5], True),
        (EXACT, [0, 0], True),
        (EXACT, [0, 1], False),
        (LABELS, [7] + 1999 * [0], True),
        (LABELS, [7] + 1998 * [0], False),
        (COUNTS, [1] + 199 * [0], True),
        (COUNTS, [2] + 199 * [0], False),
        (Tolerance(1e-3), [0, math.inf], False),
    ],
)
def test_tolerance_allows_outliers_up_to_its_bound(tolerance, error, passed):
    assert make_result(tolerance, error).passed == passed


def write_arrays(folder, **arrays):
    """Write a folder of arrays: methods/m.npz."""
    (folder / "methods").mkdir()
    np.savez(folder / "text.npz", x=0)
    np.savez(folder / "methods" / "m.npz", **arrays)
    return GoldenSet(folder)


def test_thinned_arrays_are_compared_with_full_ones(tmp_path):
    full = np.arange(2 * 7 * 9.0).reshape(2, 7, 9)
    golden = write_arrays(
        tmp_path,
        a__sub4=full[:, 2::4, 2::4],
        b__rows3=full[:, ::3],
        c__every5=full.ravel()[::5],
        d__sub2__every3=full[:, 1::2, 1::2].ravel()[::3],
        e_rows=full[[1]],
        e_index=[1],
        f=np.array([np.nan, -np.inf, 1]),
    )
    for name in ("a", "a__sub4", "b", "c", "d", "d__sub2"):
        assert golden.differences(torch.from_numpy(full), "methods/m", name).max() == 0, name
        assert golden.differences(full + 1, "methods/m", name).max() == 1
    assert golden.differences(full, "methods/m", "e_rows", "e_index").max() == 0
    assert golden.differences([0, -np.inf, 3], "methods/m", "f").tolist() == [np.inf, 0, 2]
    with pytest.raises(ValueError, match=r"m/a__sub4 has the shape \(2, 2, 2\), but \(2, 1, 2\) of \(2, 6, 9\)"):
        golden.differences(full[:, :6], "methods/m", "a")
    with pytest.raises(KeyError, match="Expected an array 'g'"):
        golden.differences(full, "methods/m", "g")
    with pytest.raises(GoldenNotFound, match=r"n\.npz, but there is no such file"):
        golden.arrays("methods/n")


def test_errors_are_results_of_all_stages(tmp_path):
    golden = write_arrays(tmp_path, c_a=np.zeros(2), c_b=np.zeros(2), c_c=np.zeros(2))
    world = ParityWorld(golden, tmp_path)

    def fail(world):
        raise TypeError("no such option")

    stages = {"a": EXACT, "b": EXACT, "c": ParityStage(EXACT, file="methods/n")}
    results = run_case(ParityCase("m", "c", fail, stages), world)
    assert [(result.passed, result.problem) for result in results] == 3 * [(False, "TypeError: no such option")]
    results = run_case(ParityCase("m", "c", lambda world: {"a": [0, 0], "c": [0, 0]}, stages), world)
    assert [result.passed for result in results] == [True, False, False]
    assert results[1].problem == "KeyError: It was not computed: only a, c"
    assert "no such file" in results[2].problem


def test_names_without_cases_or_images_are_refused(golden):
    with pytest.raises(UnknownParityMethod, match=r"no method 'naclipp' .* did you mean naclip"):
        load_parity_cases("naclipp")
    with pytest.raises(UnknownParityMethod, match="expected one of clearclip"):
        load_parity_cases("xyz")
    with pytest.raises(ValueError, match=r"Expected NAME or NAME\[y0:y1,x0:x1\] of const, .*but got 'smooth'"):
        golden.image("smooth")


def test_image_may_be_cut(golden):
    part = golden.image("smooth336x500[100:196,150:294]")
    assert part.shape == (1, 3, 96, 144)
    assert torch.equal(part, golden.image("smooth336x500")[..., 100:196, 150:294])


def test_deep_tower_repeats_the_blocks(world):
    shallow, deep = world.clip(3).blocks, world.clip(12).blocks
    assert (len(shallow), len(deep)) == (3, 12)
    for number, block in enumerate(deep):
        for own, other in zip(block.parameters(), shallow[number % 3].parameters(), strict=True):
            assert torch.equal(own, other)


def test_dino_with_patch_16_sees_every_pixel(world):
    """Its features on an image of doubled pixels are those of patch 8, at the size of the position table."""
    image = torch.rand(1, 3, 224, 224)
    doubled = image.repeat_interleave(2, 2).repeat_interleave(2, 3)
    with torch.no_grad():
        want, got = world.vfm("dino")(image), world.vfm("dino16")(doubled)
    assert got.shape == (1, 96, 28, 28)
    torch.testing.assert_close(got, want, atol=2e-5, rtol=0)


def test_damaged_arrays_are_named_or_equal(tmp_path, damage_count):
    folder = write_arrays(tmp_path, a=np.arange(50.0)).folder
    path = folder / "methods" / "m.npz"
    refused = 0
    for description, damaged in iter_damages(path.read_bytes(), damage_count):
        path.write_bytes(damaged)
        try:
            arrays = GoldenSet(folder).arrays("methods/m")
        except ValueError as error:
            refused += 1
            assert str(path) in str(error), description
        else:
            assert all(np.array_equal(array, np.arange(50.0)) for array in arrays.values()), description
    assert refused
