"""Cases of a comparison: what is computed, and how far it may be from the reference."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from proxyclip.engine.parity.reference import GoldenSet
from proxyclip.engine.parity.world import ParityWorld


@dataclass(frozen=True)
class Tolerance:
    """Largest allowed difference of the elements of an array, and how many may be beyond it.

    Args:
        limit: absolute difference.
        outlier_share: share of the elements that may be beyond `limit`.
        max_outliers: their number, where that is more.
        bound: absolute difference of every element, outliers too; default `limit`.
    """

    limit: float
    outlier_share: float = 0.0
    max_outliers: int = 0
    bound: float | None = None

    def count_allowed(self, size: int) -> int:
        """Count the outliers that an array of `size` elements may have."""
        return max(math.floor(self.outlier_share * size + 1e-9), self.max_outliers)


EXACT = Tolerance(0)
FEATURES = Tolerance(2e-5)
COSINES = Tolerance(5e-6)
PROBABILITIES = Tolerance(2e-5)
LABELS = Tolerance(0, outlier_share=0.0005, bound=math.inf)
FEW_LABELS = Tolerance(0, max_outliers=3, bound=math.inf)  # 3 pixels
COUNTS = Tolerance(0, outlier_share=0.005, bound=1)  # numbers of entries in sets that have a threshold


@dataclass(frozen=True)
class ParityStage:
    """One array of a case.

    Args:
        array: its name; default CASE_STAGE. The endings of thinned arrays may be left out.
        file: without `.npz`; default methods/METHOD.
        rows: array of the file with the indices of the rows that are stored; default all rows are.
    """

    tolerance: Tolerance
    array: str | None = None
    file: str | None = None
    rows: str | None = None


@dataclass(frozen=True)
class ParityCase:
    """One forward of a method.

    Args:
        compute: world -> full array of each stage.
        stages: stage -> tolerance, or `ParityStage` where the names of array or file do not follow from the case's.
    """

    method: str
    name: str
    compute: Callable[[ParityWorld], Mapping[str, Any]]
    stages: Mapping[str, Tolerance | ParityStage]


@dataclass(frozen=True)
class ParityResult:
    """Comparison of one stage with the reference.

    Attributes:
        difference: largest absolute difference; inf if the stage could not be computed.
        outliers: elements beyond the limit of the tolerance, of `size`.
        problem: error that kept the stage from being compared, or empty.
    """

    method: str
    case: str
    stage: str
    tolerance: Tolerance
    difference: float
    outliers: int
    size: int
    problem: str = ""

    @property
    def passed(self) -> bool:
        """True if the difference is within the tolerance."""
        bound = self.tolerance.limit if self.tolerance.bound is None else self.tolerance.bound
        if self.problem:
            return False
        if self.outliers == 0:
            return True
        return self.outliers <= self.tolerance.count_allowed(self.size) and self.difference <= bound


def run_case(case: ParityCase, world: ParityWorld) -> list[ParityResult]:
    """Compute the stages of a case and compare them; an error is the result of every stage."""
    try:
        with torch.no_grad():
            computed = case.compute(world)
    except Exception as error:  # one method must not keep the others from being compared
        return [_fail_stage(case, stage, error) for stage in case.stages]
    return [_compare_stage(case, stage, computed, world.golden) for stage in case.stages]


def _compare_stage(case: ParityCase, stage: str, computed: Mapping[str, Any], golden: GoldenSet) -> ParityResult:
    spec = _get_spec(case, stage)
    file, array = spec.file or f"methods/{case.method}", spec.array or f"{case.name}_{stage}"
    if stage not in computed:
        return _fail_stage(case, stage, KeyError(f"It was not computed: only {', '.join(computed)}"))
    try:
        error = golden.differences(computed[stage], file, array, spec.rows)
    except (KeyError, IndexError, ValueError, OSError) as problem:
        return _fail_stage(case, stage, problem)
    outliers = int(np.count_nonzero(error > spec.tolerance.limit))
    difference = float(error.max(initial=0.0))
    return ParityResult(case.method, case.name, stage, spec.tolerance, difference, outliers, error.size)


def _fail_stage(case: ParityCase, stage: str, error: Exception) -> ParityResult:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    problem = f"{type(error).__name__}: {text}"
    return ParityResult(case.method, case.name, stage, _get_spec(case, stage).tolerance, math.inf, 0, 0, problem)


def _get_spec(case: ParityCase, stage: str) -> ParityStage:
    spec = case.stages[stage]
    return ParityStage(spec) if isinstance(spec, Tolerance) else spec
