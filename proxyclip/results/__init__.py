"""Results of evaluations: one JSON record a run, and tables of all records.

A record is written atomically under its identity: a repeated run replaces its own record and no other.
The tables (results.xlsx, results.csv, results.md) hold nothing of their own, so they can be deleted and rebuilt:
`table(folder)`, or `python -m proxyclip tables WORK_DIR`.
"""

from proxyclip.results.columns import RECORD_COLUMNS, record_value
from proxyclip.results.published import Target, target, target_of
from proxyclip.results.records import (
    SCHEMA,
    confusion,
    find,
    identity,
    metric_part,
    metrics_sha256,
    now,
    record,
    records,
    sparse,
)
from proxyclip.results.tables import CSV, MARKDOWN, WORKBOOK, table

__all__ = [
    "CSV", "MARKDOWN", "RECORD_COLUMNS", "SCHEMA", "WORKBOOK", "Target", "confusion", "find", "identity",
    "metric_part", "metrics_sha256", "now", "record", "record_value", "records", "sparse", "table",
    "target", "target_of",
]  # fmt: skip
