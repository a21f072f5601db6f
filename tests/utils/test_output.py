"""Nothing that is printed stops a command."""

import io
import subprocess
import sys

import pytest

from proxyclip.utils.output import LenientStream, lenient_output
from proxyclip.utils.paths import ROOT

PRINT = "from proxyclip.cli import run_cli; raise SystemExit(run_cli(lambda: print('██ sky – 天空', flush=True) or 3))"


@pytest.mark.parametrize(("encoding", "text"), [("cp1252", "?? sky – ??"), ("ascii", "?? sky ? ??"), ("utf-8", "██")])
def test_signs_that_the_encoding_lacks_become_question_marks(encoding, text):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, errors="strict")
    before = sys.stdout
    sys.stdout = stream
    try:
        with lenient_output():
            print("██ sky – 天空", flush=True)
    finally:
        sys.stdout = before
    assert text in stream.buffer.getvalue().decode(encoding)


@pytest.mark.parametrize("redirection", [">&-", "| true", "> /dev/null"])
def test_a_closed_output_changes_no_exit_code(redirection):
    command = f'set -o pipefail; sleep 0.3 | {sys.executable} -c "{PRINT}" {redirection}'
    run = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert (run.returncode, run.stderr) == (3, "")


def test_other_attributes_are_those_of_the_stream():
    stream = LenientStream(io.StringIO())
    stream.write("a")
    assert (stream.getvalue(), stream.closed) == ("a", False)


def test_other_errors_are_raised():
    stream = io.StringIO()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        LenientStream(stream).write("a")
