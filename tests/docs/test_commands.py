"""Every command of README and docs runs as it stands, to the result that the comment behind its block expects."""

import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from helpers import run_benchmark
from helpers.run_command import call_command, enter_folder, parse_commands

from proxyclip.utils.paths import ROOT

pytestmark = pytest.mark.docs

PAGES = {
    path: path.read_text("utf-8") for path in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md"))
}
# Arguments that only shorten a run.
SHORTER = {
    "SCORED": "--limit 1 --workers 0 --gallery 0",
    "DRAWN": "--data-root drawn --workers 0 --cfg-options test_dataloader.dataset.count=2",
    "TRAINED": "DRAWN train_dataloader.dataset.count=4 train_dataloader.batch_size=2 train_cfg.max_iters=2 "
    "train_cfg.val_interval=2",
}
PIP = [sys.executable, "-m", "pip", "install", "--dry-run", "--no-index", "--disable-pip-version-check", "-q"]
# Starts of lines of sh blocks that fetch, or that are no programs.
NOT_RUN = ("apt-get install", "pip wheel", ".venv/bin/pip install torch torchvision --index-url", "source ", "export ")


def collect_expectations() -> dict[str, str]:
    """Return the expectation of each command of all pages; a command on two pages has one."""
    expectations: dict[str, str] = {}
    for path, text in sorted(PAGES.items()):
        for command, expected in parse_commands(text).items():
            assert expectations.setdefault(command, expected) == expected, f"{path.name}: {command}"
    return expectations


EXPECTATIONS = collect_expectations()


def collect_install_lines() -> list[str]:
    """Return the commands of the sh blocks, which install."""
    blocks = "".join("".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)) for text in PAGES.values())
    commands = {part.strip() for line in blocks.splitlines() for part in line.partition("#")[0].split("&&")}
    return sorted(command for command in commands if command and not command.startswith(NOT_RUN))


def start_program(argv: list[str], folder: Path) -> subprocess.Popen:
    environment = os.environ | {"PYTHON": sys.executable, "HF_HUB_OFFLINE": "1", "PWD": str(folder)}
    argv = [sys.executable if word == "python" else word for word in argv]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return subprocess.Popen(argv, cwd=folder, env=environment, **pipes)


def run_program(argv: list[str], folder: Path) -> tuple[int, str]:
    process = start_program(argv, folder)
    output, _ = process.communicate()
    return process.returncode, output


def serve_page(argv: list[str], folder: Path) -> tuple[int, str]:
    """Start the web page, load it as soon as its address is printed, and end it with Ctrl-C."""
    pytest.importorskip("gradio")
    with start_program(argv, folder) as process:
        output = ""
        for line in process.stdout:
            output += line
            if address := re.search(r"http://127\.0\.0\.1:\d+", line):
                with urllib.request.urlopen(address[0], timeout=60) as answer:
                    output += answer.read().decode()
                process.send_signal(signal.SIGINT)
        return process.wait(timeout=60), output


@pytest.fixture
def run(sandbox, monkeypatch, capfd):
    """A function that runs a command in the sandbox, and returns its exit code and its output."""

    def run_in_sandbox(command: str) -> tuple[int, str]:
        argv = shlex.split(command)
        if "--web" in argv:
            return serve_page(argv, sandbox)
        # one start of eval.py for all; of four processes one is called, two are started
        if command == "python eval.py --limit 1 --workers 0" or (argv[0] != "python" and "4" not in argv):
            return run_program(argv, sandbox)
        enter_folder(monkeypatch, sandbox)
        if argv[0] == "bash":
            code, processes = run_benchmark.call_distributed(sandbox / "stub", argv, sandbox)
            assert processes == 4
        elif argv[1].startswith("benchmarks/"):
            code = run_benchmark.call_script(monkeypatch, Path(argv[1]).stem, *argv[2:])
        else:
            code = call_command(monkeypatch, command)
        return code, "".join(capfd.readouterr())

    return run_in_sandbox


@pytest.mark.parametrize("command", EXPECTATIONS)
def test_command_of_page(sandbox, run, command):
    expected, _, arguments = EXPECTATIONS[command].partition("; with ")
    for name in reversed(SHORTER):
        arguments = arguments.replace(name, SHORTER[name])
    exit_code, output = run(f"{command} {arguments}".strip())
    records = [path.read_text() for path in (sandbox / "work_dirs/records").glob("*.json")]
    assert "Traceback" not in output
    for part in expected.split("; "):
        kind, _, value = part.partition(" ")
        if kind == "exit":
            assert exit_code == int(value), output
        elif kind == "record":
            assert any(all(text in record for text in value.split()) for record in records), part
        else:
            assert part in output


@pytest.mark.parametrize("command", collect_install_lines())
def test_line_of_installation(sandbox, run, command):
    """It runs as far as it can without network and changes outside of the sandbox."""
    program, *arguments = argv = shlex.split(command)
    expected = (0, "")
    if program == "make":
        exit_code, output = run(f"make -n {shlex.join(arguments)}")
    elif program.endswith("pip"):
        exit_code, output = run_program([*PIP, *arguments[1:]], sandbox)  # all of it is here already
    elif arguments[:2] == ["-m", "venv"]:
        exit_code, output = run_program([sys.executable, *arguments, "--without-pip"], sandbox)
    elif arguments[0] == "-c":
        exit_code, output = run_program(argv, sandbox)
    else:
        expected = (1, "on a machine with internet access") if "fetch" in arguments else expected
        exit_code, output = run(command)
    assert exit_code == expected[0], output
    assert expected[1] in output
