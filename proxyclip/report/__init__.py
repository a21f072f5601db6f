"""The report of a folder of results: one HTML page that needs no other file, no network and no server.

`build(folder)` makes it from the records and galleries there: a table of all runs, each run with its classes,
confusions and pictures, and two runs side by side.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from proxyclip import results
from proxyclip.report import charts, facts, words
from proxyclip.report import compare as comparing
from proxyclip.report.data import METRICS, Run, views
from proxyclip.report.gallery import KINDS, TITLES, collect
from proxyclip.report.marks import badges, best
from proxyclip.results.columns import ZERO_SHOT

PICTURES = 6
_PAGE = Path(__file__).parent / "page"
_STYLES, _SCRIPTS = ("page.css", "charts.css"), ("page.js", "compare.js")


def build(
    folder: Path,
    runs: Sequence[str] | None = None,
    compare: Sequence[str] | None = None,
    pictures: int = PICTURES,
) -> str:
    """The HTML of the report. The same records and pictures give the same text.

    Args:
        folder: a work dir, with `records/` and perhaps `gallery/`.
        runs: identities, or unique starts of them; None for all.
        compare: two of them, to lay side by side at first; None for the two best methods.
        pictures: most pictures of each kind a run.

    Raises:
        FileNotFoundError: there is no such folder, or no record in it.
        ValueError: an identity that fits no record or several, or two runs that cannot be compared.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: give the --work-dir of the evaluations.")
    shown = views(results.records(folder))
    if not shown:
        raise FileNotFoundError(f"{folder / 'records'} has no readable record: run eval.py --work-dir {folder} first.")
    if runs is not None:
        wanted = [find(shown, name).anchor for name in runs]
        shown = [run for run in shown if run.anchor in wanted]
    gallery = collect(folder, shown, pictures)
    pair = comparing.first_pair(shown) if compare is None else _pair(shown, compare)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            title=folder.resolve().name,
            runs=shown,
            dates=_dates(shown),
            best=best(shown),
            table=_crossed(shown),
            gallery=gallery,
            comparison=comparing.compare(*pair, gallery) if pair else None,
            data=_json(comparing.payload(shown, gallery)) if pair else None,
            charts=charts,
            facts=facts,
            scatter=comparing.scatter,
            legend=comparing.legend,
            kinds=KINDS,
            titles=TITLES,
            metrics=METRICS,
            zero_shot=ZERO_SHOT,
        )
        + "\n"
    )


def find(runs: Sequence[Run], name: str) -> Run:
    """The run whose identity starts with `name`. Raises ValueError where none or several do."""
    exact = [run for run in runs if run.id == name]
    found = exact or [run for run in runs if name and run.id.startswith(name)]
    if len(found) == 1:
        return found[0]
    known = [run.id for run in runs]
    if found:
        raise ValueError(f"{name!r} is the start of several identities: {', '.join(run.id for run in found)}.")
    near = difflib.get_close_matches(name, known, n=3)
    advice = f"did you mean {', '.join(near)}?" if near else f"the known ones are {', '.join(known)}."
    raise ValueError(f"There is no run {name!r}: {advice}")


def _pair(runs: Sequence[Run], names: Sequence[str]) -> tuple[Run, Run]:
    a, b = (find(runs, name) for name in names)
    reason = "they are the same run" if a is b else comparing.comparable(a, b)
    if reason:
        raise ValueError(f"Runs {a.id} and {b.id} cannot be compared: {reason}.")
    return a, b


def _dates(runs: Sequence[Run]) -> str:
    days = sorted({str(run.record["end"])[:10] for run in runs if run.record.get("end")})
    return " to ".join(dict.fromkeys([days[0], days[-1]])) if days else ""


def _crossed(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Method x data set: the best run of each cell; None below two of either."""
    sets, methods = sorted({run.dataset for run in runs}), sorted({run.label for run in runs})
    if min(len(sets), len(methods)) < 2:
        return None
    cells: dict[tuple[str, str], Run] = {}
    for run in runs:  # within a data set the best comes first
        if run.miou is not None:
            cells.setdefault((run.label, run.dataset), run)
    return {"sets": sets, "methods": methods, "cells": cells}


def _environment() -> jinja2.Environment:
    """The templates, with numbers as a reader expects them. Whatever a template writes is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_PAGE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "percent": words.percent,
        "points": words.points,
        "count": words.count,
        "json": _json,
        "badges": badges,
    }
    for kind, files in (("styles", _STYLES), ("scripts", _SCRIPTS)):
        found.globals[kind] = [Markup((_PAGE / name).read_text(encoding="utf-8")) for name in files]
    return found


def _json(value: Any) -> Markup:
    """JSON that may stand inside a script element: no character of it can end that, or start a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
