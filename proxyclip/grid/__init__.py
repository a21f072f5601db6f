"""What eval_all.py runs: cells of a grid, jobs side by side, a live table, a comparison, a script for Slurm."""
