"""Fixtures of the prepare_*.py scripts."""

from helpers.prepare_scripts import output, run, script  # noqa: F401  fixtures
