"""Fixtures of the security tests: one test a promise of SECURITY.md."""

from helpers.prepare_scripts import output, run, script  # noqa: F401  fixtures
