"""Child processes of a sweep: their environment, their output, and their end with the parent."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from proxyclip.engine.sweep import jobs
from proxyclip.engine.sweep.jobs import forward_stop_signals, job_slots, merge_environment, run_command, run_in_slots
from proxyclip.utils.paths import ROOT

SLEEPER = "import os, sys, time; os.write(int(sys.argv[1]), b'r'); time.sleep(60)"
IGNORE_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
STUBBORN = IGNORE_SIGTERM + SLEEPER
FAMILY = (
    f"import subprocess, sys; argv = [sys.executable, '-c', {STUBBORN!r}, sys.argv[1]]; "
    "subprocess.run(argv, close_fds=False, start_new_session="
)
LEFT_BEHIND = FAMILY + "False)"
OWN_SESSION = IGNORE_SIGTERM + FAMILY + "True)"  # as torchrun starts its processes


def test_run_command_appends_output_and_returns_the_exit_code(tmp_path):
    log = tmp_path / "logs" / "one.log"
    code = "import os, sys; print(os.environ['WHAT'], sys.stdin.read()); sys.exit('gone')"
    for number in (1, 2):
        assert run_command([sys.executable, "-c", code], {**os.environ, "WHAT": str(number)}, log) == 1
    assert sorted(log.read_text().split()) == ["1", "2", "gone", "gone"]
    assert run_command([sys.executable, "-c", "import os; os.abort()"], os.environ, log) == -signal.SIGABRT
    if sys.platform == "linux":
        assert run_command(["/no/such/program"], os.environ, log) == 1
        assert "error: /no/such/program cannot be started" in log.read_text()
    assert not jobs._children


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("1/7 images\nerror: no weights\n(the traceback is in a.log; --debug shows it)\n", 1, "no weights"),
        ("error: one\nerror: two\nof two lines\n", 2, "two\nof two lines"),
        ("error: no weights\nerror: another process of this run ended early; see.\n", 1, "no weights"),
        ("error: another process of this run ended early; see.\n", 1, "another process of this run ended early; see."),
        ("no word of it", 3, "exit code 3"),
        ("", -signal.SIGKILL, "ended by SIGKILL: out of memory, perhaps"),
        ("", -signal.SIGSEGV, "ended by SIGSEGV")
    ]
)  # fmt: skip
def test_describe_failure(text, code, message):
    assert jobs.describe_failure(text, code) == message


def test_job_slots_share_gpus_and_cores(monkeypatch):
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


def test_one_slot_runs_in_this_thread_and_in_order():
    seen = []
    run_in_slots([3, 1, 2], [{}], lambda item, slot: seen.append((item, threading.current_thread())))
    assert seen == [(item, threading.main_thread()) for item in (3, 1, 2)]


def test_nothing_starts_after_a_signal():
    seen = []

    def run_item(item, slot):
        seen.append(item)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with forward_stop_signals():
        run_in_slots([1, 2, 3], [{}], run_item)
        assert jobs.stop_requested.is_set()
    assert seen == [1] and signal.getsignal(signal.SIGTERM) is before and not jobs.stop_requested.is_set()


@pytest.mark.parametrize(
    ("program", "grace", "number"),
    [
        (SLEEPER, 600.0, signal.SIGTERM), (STUBBORN, 0.1, signal.SIGKILL),
        (LEFT_BEHIND, 600.0, signal.SIGTERM), (OWN_SESSION, 0.1, signal.SIGKILL),
    ],
    ids=["listens", "stubborn", "left behind", "own session"],
)  # fmt: skip
def test_signal_ends_jobs_and_their_children(tmp_path, monkeypatch, program, grace, number):
    monkeypatch.setattr("proxyclip.engine.sweep.jobs.KILL_AFTER_SECONDS", grace)
    reader, writer = os.pipe()
    start = subprocess.Popen
    monkeypatch.setattr(jobs.subprocess, "Popen", lambda argv, **more: start(argv, pass_fds=[writer], **more))
    codes = []

    def interrupt_both():
        os.read(reader, 1)
        os.read(reader, 1)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt_both)
    thread.start()
    with forward_stop_signals():
        argv = [sys.executable, "-c", program, str(writer)]
        run_in_slots([1, 2], [{}, {}], lambda item, _: codes.append(run_command(argv, os.environ, tmp_path / "a")))
    thread.join()
    os.close(writer)
    assert os.read(reader, 1) == b""  # no process with the other end is left
    os.close(reader)
    assert codes == [-number] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals children")
def test_children_get_sigterm_when_their_parent_is_killed(tmp_path):
    reader, writer = os.pipe()
    child = (
        "import signal, sys; from pathlib import Path\n"
        f"signal.signal(signal.SIGTERM, lambda *_: sys.exit(Path({str(tmp_path / 'saved')!r}).write_text('yes')))\n"
    )
    code = (
        "import os, subprocess, sys; from pathlib import Path; from proxyclip.engine.sweep import jobs\n"
        "start = subprocess.Popen\n"
        f"jobs.subprocess.Popen = lambda argv, **more: start(argv, pass_fds=[{writer}], **more)\n"
        f"argv = [sys.executable, '-c', sys.argv[1], '{writer}']\n"
        f"jobs.run_command(argv, os.environ, Path({str(tmp_path / 'log')!r}))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code, child + SLEEPER], cwd=ROOT, pass_fds=[writer])
    os.close(writer)
    assert os.read(reader, 1) == b"r"
    parent.kill()
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert parent.wait() == -signal.SIGKILL and (tmp_path / "saved").read_text() == "yes"
