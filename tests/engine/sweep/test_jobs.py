"""Child processes side by side: what they get of the machine, and that none outlives its parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from proxyclip.engine.sweep import jobs
from proxyclip.engine.sweep.jobs import (
    _children,
    describe_failure,
    forward_stop_signals,
    job_slots,
    merge_environment,
    run_command,
    run_in_slots,
    stop_requested,
)
from proxyclip.utils.paths import ROOT

SLEEPER = "import os, sys, time; os.write(int(sys.argv[1]), b'r'); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN = DEAF + SLEEPER
FAMILY = (
    f"import subprocess, sys; words = [sys.executable, '-c', {STUBBORN!r}, sys.argv[1]]; "
    "subprocess.run(words, close_fds=False, start_new_session="
)
LEFT_BEHIND, OWN_SESSION = FAMILY + "False)", DEAF + FAMILY + "True)"  # torchrun gives its processes sessions


def test_a_job_has_its_output_in_a_file_and_its_exit_code(tmp_path):
    log = tmp_path / "logs" / "one.log"
    code = "import os, sys; print(os.environ['WHAT'], sys.stdin.read()); sys.exit('gone')"
    for number in (1, 2):
        assert run_command([sys.executable, "-c", code], {**os.environ, "WHAT": str(number)}, log) == 1
    assert sorted(log.read_text().split()) == ["1", "2", "gone", "gone"]
    assert run_command([sys.executable, "-c", "import os; os.abort()"], os.environ, log) == -signal.SIGABRT
    if sys.platform == "linux":
        assert run_command(["/no/such/program"], os.environ, log) == 1
        assert "error: /no/such/program cannot be started" in log.read_text()
    assert not _children


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("1/7 images\nerror: no weights\n(the traceback is in a.log; --debug shows it)\n", 1, "no weights"),
        ("error: one\nerror: two\nof two lines\n", 2, "two\nof two lines"),
        ("error: no weights\nerror: another process of this run ended early; see.\n", 1, "no weights"),
        ("error: another process of this run ended early; see.\n", 1, "another process of this run ended early; see."),
        ("no word of it", 3, "exit code 3"),
        ("", -signal.SIGKILL, "ended by SIGKILL: out of memory, perhaps"),
        ("", -signal.SIGSEGV, "ended by SIGSEGV"),
    ],
)  # fmt: skip
def test_why_a_job_failed(text, code, message):
    assert describe_failure(text, code) == message


def test_what_jobs_have_of_the_machine(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("proxyclip.engine.sweep.jobs.count_cores", lambda: 16)
    assert job_slots() == [{}]
    assert job_slots(["3"]) == [{"CUDA_VISIBLE_DEVICES": "3"}]
    assert [slot["OMP_NUM_THREADS"] for slot in job_slots(jobs=3)] == ["5"] * 3
    pairs = job_slots(["0", "1", "GPU-a", "GPU-b"], each=2)
    assert [slot["CUDA_VISIBLE_DEVICES"] for slot in pairs] == ["0,1", "GPU-a,GPU-b"]
    assert {slot["MKL_NUM_THREADS"] for slot in pairs} == {"4"}
    monkeypatch.setenv("PORT", "29500")  # of one job only
    assert "PORT" in merge_environment(job_slots(["0", "1"], each=2)[0])
    assert "PORT" not in merge_environment(pairs[0])
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    assert all(merge_environment(slot)["OMP_NUM_THREADS"] == "7" for slot in job_slots(jobs=3))
    assert job_slots(jobs=99)[0].get("OMP_NUM_THREADS") is None
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert job_slots(jobs=99)[0]["OMP_NUM_THREADS"] == "1"


def test_one_slot_works_in_this_thread_and_in_order():
    seen = []
    run_in_slots([3, 1, 2], [{}], lambda item, slot: seen.append((item, threading.current_thread())))
    assert seen == [(item, threading.main_thread()) for item in (3, 1, 2)]


def test_nothing_starts_after_a_signal():
    seen = []

    def do(item, slot):
        seen.append(item)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with forward_stop_signals():
        run_in_slots([1, 2, 3], [{}], do)
        assert stop_requested.is_set()
    assert seen == [1] and signal.getsignal(signal.SIGTERM) is before and not stop_requested.is_set()


@pytest.mark.parametrize(
    ("program", "grace", "number"),
    [
        (SLEEPER, 600.0, signal.SIGTERM),
        (STUBBORN, 0.1, signal.SIGKILL),
        (LEFT_BEHIND, 600.0, signal.SIGTERM),
        (OWN_SESSION, 0.1, signal.SIGKILL),
    ],
    ids=["listens", "stubborn", "left behind", "own session"],
)
def test_a_signal_ends_the_jobs(tmp_path, monkeypatch, program, grace, number):
    """At once where they listen, else after the time of grace, and what they have started with them."""
    monkeypatch.setattr("proxyclip.engine.sweep.jobs.KILL_AFTER_SECONDS", grace)
    hear, say = os.pipe()
    start = subprocess.Popen
    monkeypatch.setattr(jobs.subprocess, "Popen", lambda words, **more: start(words, pass_fds=[say], **more))
    codes = []

    def end():
        os.read(hear, 1)
        os.read(hear, 1)
        os.kill(os.getpid(), signal.SIGINT)

    told = threading.Thread(target=end)
    told.start()
    with forward_stop_signals():
        words = [sys.executable, "-c", program, str(say)]
        run_in_slots([1, 2], [{}, {}], lambda item, _: codes.append(run_command(words, os.environ, tmp_path / "a")))
    told.join()
    os.close(say)
    assert os.read(hear, 1) == b""  # nobody is left who could write
    os.close(hear)
    assert codes == [-number] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the children")
def test_children_are_told_when_their_parent_is_killed(tmp_path):
    hear, say = os.pipe()
    child = (
        "import signal, sys; from pathlib import Path\n"
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(Path({str(tmp_path / 'saved')!r}).write_text('yes')))\n"
    )
    code = (
        "import os, subprocess, sys; from pathlib import Path; from proxyclip.engine.sweep import jobs\n"
        "start = subprocess.Popen\n"
        f"jobs.subprocess.Popen = lambda words, **more: start(words, pass_fds=[{say}], **more)\n"
        f"jobs.launch([sys.executable, '-c', sys.argv[1], '{say}'], os.environ, Path({str(tmp_path / 'log')!r}))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, child + SLEEPER], cwd=ROOT, pass_fds=[say])
    os.close(say)
    assert os.read(hear, 1) == b"r"
    parent.kill()
    assert os.read(hear, 1) == b""
    os.close(hear)
    assert parent.wait() == -signal.SIGKILL and (tmp_path / "saved").read_text() == "yes"
