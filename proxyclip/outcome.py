"""What an evaluation leaves in its work dir, whatever goes wrong there: a record, tables, pictures."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from proxyclip import account, gallery, reporting, results
from proxyclip.loop import ResumableLoop


def check_writable(folder: Path) -> None:
    """Refuse a work dir that cannot take the results, before anything is computed.

    Raises:
        OSError: it cannot be made, or no file can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(1 << 16))
    except OSError as error:
        raise OSError(
            f"The work dir {folder} cannot be written ({error.strerror or error}): make room or choose another with "
            "--work-dir DIR"
        ) from error


def keep_gallery(run: Mapping[str, Any], loop: Any, model: Any, number: int, folder: Path) -> list[dict[str, Any]]:
    """Write the pictures of the gallery. What goes wrong there is said and costs no result."""
    if not isinstance(loop, ResumableLoop) or not loop.counts or not number:
        return []
    picks = account.picks(loop, run["per_image"], number)
    try:
        gallery.draw(model, loop.dataloader.dataset, loop.dataloader.collate_fn, picks, folder)
    except Exception as error:
        print(f"warning: no pictures for the report in {folder}: {reporting.message(error)}", file=sys.stderr)
    return picks


def write(run: Mapping[str, Any], folder: Path) -> dict[str, Path | str]:
    """The record and the tables. A record that cannot be written there goes to the folder for temporary files.

    Raises:
        OSError: the record is elsewhere, or nowhere; the message has the numbers.
    """
    _warn_of_other_numbers(results.find(folder, run["identity"]), run)
    try:
        path = results.record(run, folder)
    except OSError as error:
        refuge = Path(tempfile.gettempdir()) / f"proxyclip-{run['identity']}"
        numbers = ", ".join(f"{name} {value}" for name, value in run["metrics"].items())
        try:
            kept = f"It is in {results.record(run, refuge)}: move it to {folder / 'records'}"
        except OSError as again:
            kept = f"Nor can {refuge} ({again})"
        raise OSError(
            f"The record cannot be written in {folder} ({error.strerror or error}). {kept}. The numbers: {numbers}. "
            "Counts that were saved are kept: with room on the disk, the same command takes them up."
        ) from error
    files: dict[str, Path | str] = {"record": path}
    try:
        files["table"] = results.table(folder)
    except OSError as error:
        print(
            f"warning: the tables cannot be written ({error}); python -m proxyclip.results {folder} makes them from "
            "the records",
            file=sys.stderr,
        )
    files["report"] = f"python -m proxyclip.report {folder}"
    return files


def _warn_of_other_numbers(before: Mapping[str, Any] | None, run: Mapping[str, Any]) -> None:
    """Say so if the record that is about to be replaced, of the very same evaluation, has other numbers."""
    if before is None or before.get("left_out") or run.get("left_out"):
        return
    both = [(name, before["metrics"].get(name), value) for name, value in run["metrics"].items()]
    apart = [
        f"{name} {old:.2f}, now {new:.2f}" for name, old, new in both if old is not None and abs(new - old) > 0.005
    ]
    if apart:
        print(
            f"warning: the same evaluation had other numbers before ({'; '.join(apart)}): something that is not in the "
            "record has changed, a driver or a library say, or the computation is not deterministic",
            file=sys.stderr,
        )
