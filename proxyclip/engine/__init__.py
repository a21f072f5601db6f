"""Runs from a command line to a record: configs, evaluation, training, sweeps."""
