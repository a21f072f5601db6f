"""`python -m proxyclip`: the table of commands, and the one handler of errors."""

import subprocess
import sys

import pytest

from proxyclip.cli import COMMANDS, main, run_cli
from proxyclip.utils.paths import ROOT
from proxyclip.utils.version import __version__


def test_main_lists_commands(capsys):
    for arguments in ([], ["--help"]):
        assert main(arguments) == 0
        text = capsys.readouterr().out
        assert all(f"\n  {name} " in text for name in COMMANDS)


def test_main_prints_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"proxyclip {__version__}\n"


def test_main_suggests_command_for_unknown_name(capsys):
    assert main(["evl"]) == 2
    assert "There is no command 'evl': did you mean eval?" in capsys.readouterr().err
    assert main(["xyz"]) == 2
    assert "expected one of eval, sweep" in capsys.readouterr().err


@pytest.mark.parametrize("name", COMMANDS)
def test_main_prints_help_of_command(name, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([name, "--help"])
    assert capsys.readouterr().out.startswith(f"usage: python -m proxyclip {name} [-h]")


def test_help_needs_no_pytorch():
    code = (
        "import sys, runpy\nfor name in ('torch', 'mmseg', 'mmengine'): sys.modules[name] = None\n"
        f"for name in {list(COMMANDS)}:\n"
        "    sys.argv[1:] = [name, '--help']\n"
        "    try: runpy.run_module('proxyclip', run_name='__main__')\n"
        "    except SystemExit as end: assert end.code == 0\n"
    )
    output = subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, capture_output=True, text=True).stdout
    assert "--show-dir" in output and "does not stop the rest" in output


def failing(error: BaseException):
    """A command that raises an error."""

    def run():
        raise error

    return run


def test_run_cli_returns_exit_codes_and_prints_messages(tmp_path, capsys):
    from proxyclip.engine.config.names import ConfigNotFound

    assert run_cli(lambda: None) == 0 and run_cli(lambda: 3) == 3
    assert run_cli(failing(KeyboardInterrupt()), interrupted="stopped") == 130
    assert run_cli(failing(KeyboardInterrupt("saved"))) == 130
    assert capsys.readouterr().err == "stopped\nsaved\n"
    assert run_cli(failing(ConfigNotFound("no such config")), work_dir=str(tmp_path)) == 2
    assert capsys.readouterr().err == "error: no such config\n"
    assert run_cli(failing(ValueError("bad")), errors={ValueError: 2}, describe=str, label="report") == 2
    assert capsys.readouterr().err == "report: bad\n"
    with pytest.raises(TypeError):
        run_cli(failing(TypeError("a fault")), errors={ValueError: 2}, describe=str)
    assert run_cli(failing(ZeroDivisionError("a fault")), debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


def test_run_cli_explains_broken_installation(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "proxyclip.engine.errors", None)
    error = RuntimeError("operator torchvision::nms does not exist")
    assert run_cli(failing(error)) == 1
    assert "error: torch and torchvision do not fit together" in capsys.readouterr().err
    with pytest.raises(RuntimeError):
        run_cli(failing(error), debug=True)
    with pytest.raises(ZeroDivisionError):
        run_cli(failing(ZeroDivisionError("a fault")))
