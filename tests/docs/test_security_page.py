"""SECURITY.md: every promise names its tests, and every security test belongs to a promise."""

import re

from proxyclip.utils.paths import ROOT


def test_promises_and_tests_are_the_same():
    promised = set(re.findall(r"test_\w+\.py", (ROOT / "SECURITY.md").read_text(encoding="utf-8")))
    assert promised == {path.name for path in (ROOT / "tests/security").glob("test_*.py")}
