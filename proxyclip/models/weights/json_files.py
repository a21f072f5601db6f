"""JSON files beside weights, of a size that is limited."""

import json
from pathlib import Path
from typing import Any

from proxyclip.utils.file_limits import MEGABYTE, read_limited_text

MAX_JSON_BYTES = 32 * MEGABYTE  # an index of weights has about 100 bytes a tensor


def read_json_object(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Args:
        what: the kind of file, for the message.

    Raises:
        ValueError: no JSON, another value than an object, nested too deeply, or too large; the message has no path but
            for the last. OSError: it cannot be read.
    """
    try:
        content = json.loads(read_limited_text(path, MAX_JSON_BYTES, what))
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError(f"expected an object {{...}}, but got a {type(content).__name__}")
    return content
