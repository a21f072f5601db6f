"""Build the HTML report from the records and galleries of a folder."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from proxyclip.results.columns import ZERO_SHOT_METRICS
from proxyclip.results.records import load_records
from proxyclip.results.report import charts, facts
from proxyclip.results.report import compare as comparisons
from proxyclip.results.report.images import GALLERY_TITLES, PANEL_TITLES, collect_gallery
from proxyclip.results.report.run_view import REPORT_METRICS, RunView, build_run_views, find_best_anchors, list_badges
from proxyclip.utils.formats import format_count, format_points, format_report_percent
from proxyclip.utils.suggest import closest_matches

_PAGE = Path(__file__).parent / "page"


def build_report(
    folder: Path, runs: Sequence[str] | None = None, compare: Sequence[str] | None = None, pictures: int = 6
) -> str:
    """Build the HTML of the report. The same records and pictures give the same text.

    Args:
        folder: a work dir, with `records/` and perhaps `gallery/`.
        runs: identities, or unique starts of them; None for all.
        compare: two of them, to lay side by side at first; None for the two best methods.
        pictures: maximum number of pictures of each kind a run.

    Raises:
        FileNotFoundError: there is no such folder, or no record in it.
        ValueError: an identity that fits no record or several, or two runs that cannot be compared.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}: give the --work-dir of the evaluations.")
    views = build_run_views(load_records(folder))
    if not views:
        raise FileNotFoundError(f"{folder / 'records'} has no readable record: run eval.py --work-dir {folder} first.")
    if runs is not None:
        anchors = [find_run(views, name).anchor for name in runs]
        views = [run for run in views if run.anchor in anchors]
    gallery = collect_gallery(folder, views, pictures)
    pair = comparisons.choose_default_pair(views) if compare is None else _find_pair(views, compare)
    days = sorted({str(run.record["end"])[:10] for run in views if run.record.get("end")})
    template = _make_environment().get_template("page.html.j2")
    page = template.render(
        title=folder.resolve().name,
        runs=views,
        dates=" to ".join(dict.fromkeys([*days[:1], *days[-1:]])),
        best=find_best_anchors(views),
        table=_cross_methods_and_datasets(views),
        gallery=gallery,
        comparison=comparisons.compare_runs(*pair, gallery) if pair else None,
        data=_script_json(comparisons.build_compare_payload(views, gallery)) if pair else None,
    )
    return page + "\n"


def find_run(runs: Sequence[RunView], name: str) -> RunView:
    """Find the one run whose identity starts with `name`; else raise ValueError."""
    exact = [run for run in runs if run.id == name]
    matches = exact or [run for run in runs if name and run.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(f"{name!r} is the start of several identities: {', '.join(run.id for run in matches)}.")
    identities = [run.id for run in runs]
    close = closest_matches(name, identities)
    hint = f"did you mean {', '.join(close)}?" if close else f"the known ones are {', '.join(identities)}."
    raise ValueError(f"There is no run {name!r}: {hint}")


def _find_pair(runs: Sequence[RunView], names: Sequence[str]) -> tuple[RunView, RunView]:
    a, b = (find_run(runs, name) for name in names)
    reason = "they are the same run" if a is b else comparisons.why_not_comparable(a, b)
    if reason:
        raise ValueError(f"Runs {a.id} and {b.id} cannot be compared: {reason}.")
    return a, b


def _cross_methods_and_datasets(runs: Sequence[RunView]) -> dict[str, Any] | None:
    """Method x data set: the best run of each cell, whole ones first.

    None below two of either.
    """
    datasets = sorted({run.dataset for run in runs})
    methods = sorted({run.label for run in runs})
    if min(len(datasets), len(methods)) < 2:
        return None
    cells: dict[tuple[str, str], RunView] = {}
    for run in sorted(runs, key=lambda run: (not run.rankable, not run.whole)):  # within a data set the best first
        if run.miou is not None:
            cells.setdefault((run.label, run.dataset), run)
    return {"sets": datasets, "methods": methods, "cells": cells}


def _make_environment() -> jinja2.Environment:
    """Make the templates' environment: escaped output, the report's number formats."""
    loader = jinja2.FileSystemLoader(_PAGE)
    options: dict[str, Any] = dict(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment = jinja2.Environment(loader=loader, autoescape=True, **options)
    environment.filters |= dict(percent=format_report_percent, points=format_points, count=format_count)
    environment.filters |= dict(json=_script_json, badges=list_badges)
    environment.globals.update(charts=charts, facts=facts, metrics=REPORT_METRICS, zero_shot=ZERO_SHOT_METRICS)
    environment.globals.update(kinds=GALLERY_TITLES, titles=PANEL_TITLES)
    environment.globals.update(scatter=comparisons.build_scatter_path, legend=comparisons.merge_legend_colors)
    for name, files in (("styles", ("page.css", "charts.css")), ("scripts", ("page.js", "compare.js"))):
        environment.globals[name] = [Markup((_PAGE / file).read_text(encoding="utf-8")) for file in files]
    return environment


def _script_json(value: Any) -> Markup:
    """Dump JSON that can neither end a script element nor start a comment."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
