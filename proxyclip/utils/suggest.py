"""Suggestions for misspelled names in error messages."""

import difflib
from collections.abc import Iterable


def closest_matches(name: object, choices: Iterable[str], count: int = 3, cutoff: float = 0.6) -> list[str]:
    """List up to `count` of the `choices` that are spelled like `name`, best first.

    Args:
        cutoff: similarity in [0, 1] (difflib's ratio) that a choice must reach.
    """
    return difflib.get_close_matches(str(name), list(choices), count, cutoff)


def closest_match(name: object, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the one of the `choices` that is spelled most like `name`, or None."""
    matches = closest_matches(name, choices, 1, cutoff)
    return matches[0] if matches else None


def did_you_mean(name: object, choices: Iterable[str], count: int = 3, cutoff: float = 0.6) -> str:
    """Format `did you mean A or B?` for the closest choices; empty if there is none."""
    matches = closest_matches(name, choices, count, cutoff)
    return f"did you mean {' or '.join(matches)}?" if matches else ""
