"""The results of evaluations: one JSON record a run, and tables as views of all records in a folder.

A record is written whole or not at all, under its identity: a repeated run replaces its own record and no other.
The tables (results.xlsx, results.csv, results.md) hold nothing of their own, so they can be deleted and rebuilt:
`table(folder)`, or `python -m proxyclip.results WORK_DIR`.
"""

from .columns import COLUMNS, FIRST_COLUMNS
from .published import Target, target, target_of
from .store import (
    SCHEMA,
    confusion,
    find,
    identity,
    metric_part,
    metrics_sha256,
    now,
    record,
    records,
    replace,
    sparse,
)
from .tables import CSV, MARKDOWN, WORKBOOK, table

__all__ = [
    "COLUMNS", "CSV", "FIRST_COLUMNS", "MARKDOWN", "SCHEMA", "WORKBOOK", "Target", "confusion", "find", "identity",
    "metric_part", "metrics_sha256", "now", "record", "records", "replace", "sparse", "table", "target", "target_of",
]  # fmt: skip
