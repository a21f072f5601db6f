"""Numbers in words: what the templates and the sentences of the report share."""

from __future__ import annotations

NONE = "–"
_MINUS, _SPACE = "−", "\u00a0"


def percent(value: float | None, digits: int = 2) -> str:
    """A percentage without its sign; a dash for None."""
    return NONE if value is None else f"{value:.{digits}f}"


def points(value: float | None) -> str:
    """A difference with its sign; a dash for None."""
    if value is None:
        return NONE
    return f"{value:+.2f}".replace("-", _MINUS) if round(value, 2) else "0.00"


def count(value: int | None) -> str:
    """A whole number in groups of three digits; a dash for None."""
    return NONE if value is None else f"{value:,}".replace(",", _SPACE)
