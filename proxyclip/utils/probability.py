"""Probabilities as people write them."""

import re
import unicodedata
from numbers import Real
from typing import cast

_NUMBER = r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:e[+-]?\d+)?"
_WRITTEN = re.compile(
    r"(?P<sign>(?:p\s*[<>=≤≥:]+|(?:prob|probability|thr|thd|threshold)[\s<>=≤≥:]+)?\s*[<>=≤≥~≈:%]*)\s*"
    rf"(?P<number>{_NUMBER})\s*(?P<unit>%|‰|per ?cent|pct|prozent|pro ?cent|por ?ciento|pour ?cent|per ?cento)?[.;,]*"
)
_FRACTION = re.compile(r"(\d+)\s*[/\u2044]\s*(\d+)")
_UNITS = {"‰": 1000.0}
_SIGNS = str.maketrans({"\u066b": ".", "\u00b7": ".", "\u2212": "-", "\u066a": "%"})


def parse_probability(text: str) -> float | None:
    """Parse a number from 0 to 1; None for text that is no number.

    A decimal comma (`0,3`), digits of any script and a full stop at the end are taken.

    Raises:
        ValueError: another number or notation (`30`, `30%`, `1/3`, `>0.3`); the message has the number to write.
    """
    written = unicodedata.normalize("NFKC", text).translate(_SIGNS).strip().lower()
    if match := _FRACTION.fullmatch(written):
        raise ValueError(refuse_probability(text, int(match[1]) / max(int(match[2]), 1)))
    match = _WRITTEN.fullmatch(written)
    if match is None:
        if written.lstrip("+-") in ("nan", "inf", "infinity"):
            raise ValueError(refuse_probability(text))
        return None
    value = float(match["number"].replace(",", "."))
    if match["unit"] or "%" in match["sign"]:
        raise ValueError(refuse_probability(text, value / _UNITS.get(match["unit"] or "%", 100.0), is_percent=True))
    if not 0 <= value <= 1:
        raise ValueError(refuse_probability(text, value / 100 if value >= 2 else None, is_percent=value >= 2))
    if match["sign"].strip():
        raise ValueError(refuse_probability(text, value))
    return value


def check_probability(value: object) -> float:
    """Return a number from 0 to 1.

    Raises:
        ValueError: something else; the message has the number that may be meant.
    """
    if isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) <= 1:
        return float(value)
    if isinstance(value, str):
        parse_probability(value)
    is_percent = isinstance(value, Real) and not isinstance(value, bool) and float(value) >= 2
    raise ValueError(refuse_probability(value, float(cast(Real, value)) / 100 if is_percent else None, is_percent))


def refuse_probability(written: object, meant: float | None = None, is_percent: bool = False) -> str:
    """Format the message about what is no number from 0 to 1, with the number that may be meant."""
    message = f"Expected a threshold from 0 to 1, a probability, but got {written!r}"
    if is_percent:
        message += ": not percent"
    return message + (f", write {meant:.4g}" if meant is not None and 0 < meant <= 1 else "")
