"""Option dataclasses as command lines: parser, values and argv."""

from dataclasses import dataclass, replace

import pytest

from proxyclip.engine.config.options import EvalOptions, SweepOptions, TrainOptions
from proxyclip.utils.arguments import declare_option, parse_options, to_command


@dataclass(frozen=True)
class Example:
    """One field of each form."""

    name: str = declare_option(flags=("name",), help="positional")
    needed: int = declare_option(help="must be there")
    count: int = declare_option(3, help="a number (default: %(default)s)")
    rate: float | None = declare_option(None, group="numbers", help="another")
    several: tuple[str, ...] = declare_option((), action="extend", help="some")
    on: bool = declare_option(False, exclusive="state", help="switch on")
    check: bool = declare_option(True, flags=("--no-check",), exclusive="state", help="switch off")


def test_parse_options_reads_each_form_of_field():
    assert parse_options(Example, ["a", "--needed", "1"]) == Example("a", 1)
    arguments = ["a", "--count", "4", "--rate", ".5", "--several", "x", "y", "--several", "z", "--no-check"]
    expected = Example("a", 2, count=4, rate=0.5, several=("x", "y", "z"), check=False)
    assert parse_options(Example, [*arguments, "--needed", "2"]) == expected


@pytest.mark.parametrize("arguments", ["--needed 1", "a", "a --needed x", "a --needed 1 --on --no-check", "a --need 1"])
def test_wrong_command_lines_end_with_code_2(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        parse_options(Example, arguments.split())
    assert "error: " in capsys.readouterr().err


def test_groups_and_defaults_are_in_the_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse_options(Example, ["--help"])
    text = capsys.readouterr().out
    assert "(default: 3)" in text and "numbers:\n  --rate RATE" in text and "[--on | --no-check]" in text


def test_to_command_is_parsed_to_the_same_options():
    options = Example("a", 2, count=4, several=("x", "y"), check=False)
    argv = to_command(options)
    assert argv == ["a", "--needed", "2", "--count", "4", "--several", "x", "y", "--no-check"]
    assert parse_options(Example, argv) == options
    argv = to_command(options, ("needed", "rate", "count"), always=("rate",))
    assert argv == ["--needed", "2", "--rate", "None", "--count", "4"]
    eval_options = EvalOptions("a.py", limit=3, cfg_options=("a=1", "b=2"), check=False, skip_bad=True, workers=0)
    assert parse_options(EvalOptions, to_command(eval_options)) == eval_options


def test_evaluations_of_a_training_and_of_a_sweep():
    training = TrainOptions("c.py", work_dir="o ut", seed=3, fresh=True, device="cpu")
    assert training.evaluation("w.pth") == EvalOptions("c.py", checkpoint="w.pth", work_dir="o ut", device="cpu")
    assert training.command("w.pth") == "python eval.py --config c.py --checkpoint w.pth --work-dir 'o ut'"
    sweep = SweepOptions(limit=2, skip_bad=True, gpus=("0", "1"), gpus_per_job=2)
    assert sweep.evaluation("c.py", vfm="dino") == EvalOptions("c.py", vfm="dino", limit=2, skip_bad=True)
    assert sweep.processes_per_cell == 2 and sweep.gpu_names == ("0", "1")
    assert replace(sweep, gpus=4).processes_per_cell == 4 and replace(sweep, gpus=None).processes_per_cell is None
