"""All CLIPs and VFMs that have a short name: how big, under which licence, from where, and whether they are here.

`catalogue.json` holds them, in the order in which they are listed. A record of `models`:

    kind         "clip" or "vfm"
    name, also   the words of --clip or --vfm that stand for it; those of `also` mean the same
    bytes        size of the file: exact for `url` and `file`; else about, namely the architecture's tensors in float32
    licence      of the weights
    hub          repository on Hugging Face's hub, or
    url          address of the file, or
    file         the file in this package
    sha256       of the file, and sha256_from where that is known from; without it the hub's own record is used

`originals` are files of other names that users have, with their SHA-256 or the beginning of it.
"""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxyclip.utils.paths import ROOT
from proxyclip.utils.suggest import closest_matches

# File names of weights in a repository, best first, and of the config that makes a folder of them.
WEIGHTS_FILES = {
    "clip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    "vfm": ("model.safetensors", "pytorch_model.bin"),
}
CONFIG_FILES = {"clip": "open_clip_config.json", "vfm": "config.json"}
WEIGHTS_SUFFIXES = (".pth", ".pt", ".safetensors", ".bin")
UNKNOWN_LICENSE = "see its page"


@dataclass(frozen=True)
class WeightsEntry:
    """One set of pretrained weights; the fields are those of the catalogue. `bytes` is None where it is not known."""

    name: str
    kind: str
    bytes: int | None
    licence: str
    hub: str = ""
    url: str = ""
    file: str = ""
    sha256: str = ""
    sha256_from: str = ""
    also: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Where it comes from, as an address; a path for what comes with this package."""
        if self.hub:
            from huggingface_hub import constants

            return f"{constants.ENDPOINT}/{self.hub}"
        return self.url or self.file

    @property
    def place(self) -> Path | None:
        """The file on this machine: in the hub's cache, the folder of this project, or this package; None if absent."""
        if self.hub:
            return _find_in_hub_cache(self.hub, WEIGHTS_FILES[self.kind])
        path = get_weights_folder() / Path(self.url).name if self.url else ROOT / self.file
        return path if path.is_file() else None

    @property
    def use(self) -> str:
        """The option that uses it once it is here."""
        if self.kind == "clip" and self.file:
            return f"--clip local-dir:{Path(self.file).parent.as_posix()}"
        return f"--{self.kind} {self.name}"


def get_weights_folder() -> Path:
    """Where files that are not the hub's are kept: `$PROXYCLIP_CACHE/weights`, else `~/.cache/proxyclip/weights`."""
    return Path(os.environ.get("PROXYCLIP_CACHE") or Path.home() / ".cache" / "proxyclip") / "weights"


def _find_in_hub_cache(repository: str, names: tuple[str, ...]) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str) and Path(found).is_file():
            return Path(found)
    return None


@functools.cache
def _catalogue() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))


def list_weights_entries() -> tuple[WeightsEntry, ...]:
    """All of the catalogue, CLIPs and VFMs of the package last."""
    return tuple(WeightsEntry(**{**record, "also": tuple(record.get("also", ()))}) for record in _catalogue()["models"])


def list_known_hashes() -> dict[str, tuple[str, str]]:
    """File name -> (SHA-256 or its beginning, where that is known from), for files that have a known one."""
    known = {o["file"]: (o["sha256"], o["sha256_from"]) for o in _catalogue()["originals"]}
    return known | {Path(e.url).name: (e.sha256, e.sha256_from) for e in list_weights_entries() if e.url}


def find_weights_entry(name: str) -> WeightsEntry:
    """The entry that words of --clip or --vfm stand for, in the catalogue or in open_clip's and timm's own tables.

    Raises:
        ValueError: no such name; the message has close ones.
    """
    found = _lookup(name) or _find_open_clip_entry(name) or _find_timm_entry(name)
    if found is None:
        known = [word for entry in list_weights_entries() for word in (entry.name, *entry.also)]
        close = closest_matches(name, known) or known[:3]
        raise ValueError(
            f"Expected the name of a CLIP or VFM, as {', '.join(close)}, but got {name!r}. "
            "All: python -m proxyclip weights list"
        )
    return found


def list_required_weights(clip: str | None, vfm: str | None) -> list[WeightsEntry]:
    """What a choice of models needs to have on this machine, the CLIP first.

    Args:
        clip, vfm: words of --clip and --vfm, or None. Folders and files need nothing from elsewhere, and of unknown
            names nothing is known: neither has an entry.

    Returns:
        Entries; those whose `place` is None are downloaded when they are loaded (SAM must be fetched before).
    """
    found = [
        clip and (_lookup(clip, "clip") or _find_open_clip_entry(clip)),
        vfm and (_lookup(vfm, "vfm") or _find_timm_entry(vfm)),
    ]
    return [entry for entry in found if entry]


def _lookup(name: str, kind: str | None = None) -> WeightsEntry | None:
    for entry in list_weights_entries():
        if kind in (None, entry.kind) and _normalize_model_name(name) in map(
            _normalize_model_name, (entry.name, *entry.also)
        ):
            return entry
    return None


def _normalize_model_name(name: str) -> str:
    """ViT-L-14-336 for ViT-L/14@336px; what follows a comma stays as it is."""
    head, comma, rest = name.partition(",")
    return re.sub(r"@(\d+)(px)?$", r"-\1", head.replace("/", "-")) + comma + rest


def _make_hub_entry(repository: str, name: str, kind: str) -> WeightsEntry:
    same = next((entry for entry in list_weights_entries() if entry.hub == repository and entry.kind == kind), None)
    return same or WeightsEntry(name, kind, None, UNKNOWN_LICENSE, repository)


def _find_open_clip_entry(words: str) -> WeightsEntry | None:
    """A CLIP that only open_clip's table has, or one of any repository."""
    name, _, tag = words.partition(",")
    if name.startswith("hf-hub:"):
        return _make_hub_entry(name.removeprefix("hf-hub:"), words, "clip")
    if ":" in name or tag.endswith(WEIGHTS_SUFFIXES):
        return None
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    known = {model.lower(): model for model in open_clip.list_models()}
    record = get_pretrained_cfg(known.get(_normalize_model_name(name).lower(), name), tag or "openai")
    repository = record.get("hf_hub") or ""
    return _make_hub_entry(repository.rstrip("/"), words, "clip") if repository.endswith("/") else None


def _find_timm_entry(words: str) -> WeightsEntry | None:
    """A VFM of timm's table, `FAMILY,MODEL`, or of any repository."""
    _, _, model = words.partition(",")
    if model.startswith("hf-hub:"):
        return _make_hub_entry(model.removeprefix("hf-hub:"), words, "vfm")
    if not model or ":" in model or model.endswith(WEIGHTS_SUFFIXES) or "," in model:
        return None
    import timm

    return _make_hub_entry(f"timm/{model}", words, "vfm") if timm.is_model_pretrained(model) else None
