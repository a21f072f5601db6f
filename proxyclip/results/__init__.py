"""Results of evaluations: one JSON record a run, and tables of all records.

A record is written atomically under its identity: a repeated run replaces its own record and no other.
The tables (results.xlsx, results.csv, results.md) hold nothing of their own, so they can be deleted and rebuilt:
`rebuild_tables(folder)`, or `python -m proxyclip tables WORK_DIR`.
"""
