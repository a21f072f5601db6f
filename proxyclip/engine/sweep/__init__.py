"""Parameter sweeps (eval_all.py): cells, parallel jobs, display, Slurm scripts."""
