"""The version of this toolkit, which `pyproject.toml` reads; `CITATION.cff` has it too."""

__version__ = "0.1.0"
