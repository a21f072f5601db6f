"""Version of this toolkit, for `pyproject.toml`; `CITATION.cff` has it too."""

__version__ = "0.1.0"
