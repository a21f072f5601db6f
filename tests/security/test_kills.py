"""What benchmarks/kills.py kills is dead; kills of real runs are in tests/engine as well."""

import random
import subprocess
import sys

import pytest
from helpers.run_benchmark import load_script

PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; print('ready', flush=True); time.sleep(600)"])
child.wait()
"""
VICTIMS = ("group", "first process", "another process")


class ChosenVictim(random.Random):
    """Chooses a named victim, and else the last of what there is."""

    def __init__(self, victim: str) -> None:
        super().__init__(0)
        self.victim = victim

    def choice(self, options):
        return self.victim if self.victim in options else options[-1]


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_run_leaves_no_process(victim, monkeypatch):
    kills = load_script(monkeypatch, "kills")
    run = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    assert len(kills.list_descendants(run.pid)) == 1
    assert kills.kill_run(run, ChosenVictim(victim)) == victim
    assert run.poll() is not None
    assert run.stdout.read() == ""  # its end comes once the child is gone too
    run.stdout.close()


def test_table_says_which_result_differs(monkeypatch, capsys):
    kills = load_script(monkeypatch, "kills")
    series = [
        kills.KillSeries("eval", ["group", "group"], 1, "6", True),
        kills.KillSeries("train", ["group"], 0, "", False),
    ]
    kills.print_series(series)
    out = capsys.readouterr().out
    assert "identical" in out and "DIFFERS" in out and "2 group" in out
