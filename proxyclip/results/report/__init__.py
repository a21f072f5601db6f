"""HTML report of a folder of results: one page without other files or a server.

`build.build_report(folder)` makes it from the records and galleries there: a table of all runs, each run with its
classes, confusions and pictures, and two runs side by side.
"""
