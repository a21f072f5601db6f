"""Number formats of tables, reports and messages. Standard library only."""

import math
from numbers import Real
from typing import Any

NO_VALUE = "–"
_MINUS = "−"
_NO_BREAK_SPACE = "\u00a0"


def format_two_decimals(value: Any) -> str:
    """Format a finite number with two decimals; `-` for any other value."""
    return f"{float(value):.2f}" if isinstance(value, Real) and math.isfinite(value) else "-"


def format_difference(value: float | None) -> str:
    """Format a difference with its sign and two decimals; `-` for None."""
    return "-" if value is None else f"{value:+.2f}"


def format_duration(seconds: float) -> str:
    """Format a time: 12 s, 1 min 26 s, 3 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def format_size(count: int | None, exact: bool = False) -> str:
    """Format a number of bytes in MB or GB; `about` before it unless `exact`."""
    if count is None:
        return "of unknown size"
    text = f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
    return text if exact else f"about {text}"


def format_report_percent(value: float | None, digits: int = 2) -> str:
    """Format a percentage of the report without its sign; a dash for None."""
    return NO_VALUE if value is None else f"{value:.{digits}f}"


def format_points(value: float | None) -> str:
    """Format a difference of the report with its sign; a dash for None."""
    if value is None:
        return NO_VALUE
    return f"{value:+.2f}".replace("-", _MINUS) if round(value, 2) else "0.00"


def format_count(value: int | None) -> str:
    """Format a whole number of the report in groups of three digits; a dash for None."""
    return NO_VALUE if value is None else f"{value:,}".replace(",", _NO_BREAK_SPACE)
