"""Download of weights from the hub or an address, each checked by its hash."""

import http.client
import shutil
import urllib.error
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from proxyclip.models.weights import WeightsError, short_reason
from proxyclip.models.weights.catalogue import CONFIG_FILES, WEIGHTS_FILES, WeightsEntry, get_weights_folder
from proxyclip.models.weights.verify import describe_hash_mismatch, is_hub_hash
from proxyclip.utils.formats import format_size

LineWriter = Callable[[str], Any]


def fetch_weights(
    entry: WeightsEntry, to: Path | None = None, offline: bool = False, write_line: LineWriter = print
) -> Path:
    """Fetch the weights of an entry, unless present.

    open_clip, timm and `sam` then find them by name, or in the folder `to`.

    Args:
        to: a folder for the weights and their config, to be used as `local-dir:FOLDER` (SAM: the file alone).
        offline: look, but fetch nothing.
        write_line: called with lines on size, source, license and target.

    Returns:
        The weights file.

    Raises:
        WeightsError: no network, no permission, or other bytes than the server announced; the message has the remedy.
    """
    from huggingface_hub import constants

    local = entry.place
    if local is not None and (to is None or entry.file):
        write_line(f"{entry.name} is here already: {local}")
        return local
    if offline or constants.HF_HUB_OFFLINE:
        cause = "--offline" if offline else "HF_HUB_OFFLINE is set"
        raise WeightsError(
            f"{entry.name} is not on this machine, and nothing is fetched: {cause}.\n{format_fetch_instructions(entry)}"
        )
    path = (_fetch_from_hub if entry.hub else _fetch_from_url)(entry, to, write_line)
    write_line(f"{entry.name} is there: {path}\n  use it: {format_usage_option(entry, to)}")
    return path


def format_usage_option(entry: WeightsEntry, to: Path | None = None) -> str:
    """Format the option that selects weights fetched to a folder, or by name."""
    if to is None:
        return entry.use
    if entry.kind == "clip":
        return f"--clip local-dir:{to}"
    family = entry.name.partition("-")[0].partition(",")[0]
    return f"--vfm {entry.name},{to / Path(entry.url).name}" if entry.url else f"--vfm {family},local-dir:{to}"


def format_fetch_instructions(entry: WeightsEntry) -> str:
    """Format instructions to fetch an entry on another machine."""
    by_hand = f"hf download {entry.hub} --local-dir FOLDER" if entry.hub else f"curl -LO {entry.url}"
    return (
        f"  on a machine with internet access: python -m proxyclip weights fetch {entry.name} --to FOLDER\n"
        f"  or without this toolkit:           {by_hand}\n"
        f"  then copy it here and say:         {format_usage_option(entry, Path('FOLDER'))}"
    )


def _announce_download(entry: WeightsEntry, count: int | None, folder: Path, write_line: LineWriter) -> None:
    size = format_size(count, exact=True)
    write_line(f"{entry.name}: {size}, licence {entry.licence}\n  from {entry.source}\n  to   {folder}")
    existing = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(existing).free
    if count and count > free:
        raise WeightsError(
            f"{entry.name} needs {size}, but {existing} has {format_size(free, exact=True)} free. HF_HOME and "
            "PROXYCLIP_CACHE say where weights are kept."
        )


def _fetch_from_url(entry: WeightsEntry, to: Path | None, write_line: LineWriter) -> Path:
    path = (to or get_weights_folder()) / Path(entry.url).name
    _announce_download(entry, entry.bytes, path.parent, write_line)
    try:
        download_file(entry.url, path, entry.sha256, entry.bytes)
    except WeightsError as error:
        raise WeightsError(f"{error}\n{format_fetch_instructions(entry)}") from error
    return path


def download_file(url: str, path: Path, sha256: str, size: int | None) -> None:
    """Download a file; it gets its name only whole and with the right hash.

    Args:
        sha256: of the file, or its beginning. size: in bytes; None if it is unknown.

    Raises:
        WeightsError: no connection, a broken one, or another file than the expected one. Nothing is kept of it.
    """
    from torch.hub import download_url_to_file

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with FileLock(f"{partial}.lock"):
        if path.is_file():  # another process was faster
            return
        try:
            download_url_to_file(url, str(partial))  # its own hash check would not detect a file that was cut short
            if size is not None and partial.stat().st_size < size:
                raise OSError("the connection broke off")
            mismatch = describe_hash_mismatch(partial, sha256)
            if mismatch:
                raise WeightsError(
                    f"What {url} gave is not the file that was expected: its {mismatch}. It was deleted; try again."
                )
            partial.replace(path)
        except urllib.error.HTTPError as error:
            raise WeightsError(f"{url} could not be fetched: the server says {error.code} {error.reason}.") from error
        except (OSError, http.client.HTTPException) as error:
            raise WeightsError(f"{url} could not be fetched: {short_reason(error)}.") from error
        finally:
            partial.unlink(missing_ok=True)


def _fetch_from_hub(entry: WeightsEntry, to: Path | None, write_line: LineWriter) -> Path:
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError

    try:
        for name in entry.files:
            with suppress(EntryNotFoundError):
                record = get_hf_file_metadata(hf_hub_url(entry.hub, name))
                break
        else:
            raise WeightsError(f"{entry.source} has none of the files {', '.join(entry.files)}.")
        _announce_download(entry, record.size, to or Path(constants.HF_HUB_CACHE), write_line)
        path = Path(hf_hub_download(entry.hub, name, local_dir=to))
        if to is not None or ":" in entry.name:  # a folder, or `hf-hub:`, which are opened by their config
            hf_hub_download(
                entry.hub, CONFIG_FILES[entry.kind if name in WEIGHTS_FILES[entry.kind] else "vfm"], local_dir=to
            )
            with suppress(EntryNotFoundError):
                hf_hub_download(entry.hub, "preprocessor_config.json", local_dir=to)
    except WeightsError:
        raise
    except Exception as error:  # of huggingface_hub, or of the HTTP library that its version uses
        raise WeightsError(_explain_hub_error(entry, error)) from error
    # The hub's client compares lengths only.
    etag = record.etag or ""
    mismatch = describe_hash_mismatch(path, etag) if is_hub_hash(etag) else None
    if mismatch:
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise WeightsError(f"What {entry.source} gave is damaged: {path.name}: {mismatch}. It was deleted; try again.")
    return path


def _explain_hub_error(entry: WeightsEntry, error: Exception) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return (
            f"{entry.name} is given only to those who accept its terms ({entry.licence}).\n"
            f"  accept them:  {entry.source}   (logged in, in a browser)\n"
            "  log in here:  hf auth login   (or set HF_TOKEN)\n"
            f"  then again:   python -m proxyclip weights fetch {entry.name}"
        )
    reason = short_reason(error)
    if isinstance(error, RepositoryNotFoundError):
        return f"{entry.source} does not exist, or is private: hf auth login ({reason})."
    return f"{entry.name} could not be fetched from {entry.source} ({reason}).\n{format_fetch_instructions(entry)}"
