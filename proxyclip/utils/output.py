"""Standard output that may lack signs, be closed, or have a reader that has left."""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any


class LenientStream:
    """Text stream that goes on where nobody reads it any more; other attributes are those of `stream`."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write text, or drop it where the pipe is broken."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._discard()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is buffered where the pipe is broken."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()

    def _discard(self) -> None:
        """Connect the stream to the null device, so that its buffer can be flushed at the end."""
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self._stream.fileno())
        os.close(null)


@contextlib.contextmanager
def lenient_output() -> Iterator[None]:
    """Let nothing that is printed inside the block stop it.

    Signs that the encoding of stdout lacks become `?`; a stdout that is closed, or whose reader has left, takes
    everything.
    """
    stream = sys.stdout
    if stream is None or stream.closed:
        with Path(os.devnull).open("w", encoding="utf-8") as null, contextlib.redirect_stdout(null):
            yield
        return
    if getattr(stream, "errors", None) == "strict":
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    with contextlib.redirect_stdout(LenientStream(stream)):  # type: ignore[type-var]
        yield
