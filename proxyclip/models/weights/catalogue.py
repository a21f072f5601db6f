"""All CLIPs and VFMs that have a short name: size, license, source, local file.

`catalogue.json` holds them, in the order in which they are listed. A record of `models`:

    kind         "clip" or "vfm"
    name, also   the value of --clip or --vfm that means it; those of `also` mean the same
    bytes        size of the file: exact for `url` and `file`; else about, namely the architecture's tensors in float32
    licence      of the weights
    hub          repository on Hugging Face's hub, or
    url          address of the file, or
    file         the file in this package
    sha256       of the file, and sha256_from, its source; without it the hub's own record is used

`originals` are files of other names that users have, with their SHA-256 or the beginning of it.
"""

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxyclip.models.registry import list_plugins
from proxyclip.utils.paths import ROOT, get_cache_folder
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
    """One set of pretrained weights, with the fields of the catalog."""

    name: str
    kind: str
    bytes: int | None  # None: unknown
    licence: str
    hub: str = ""
    url: str = ""
    file: str = ""
    sha256: str = ""
    sha256_from: str = ""
    also: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """Source address, or path in the package."""
        if self.hub:
            from huggingface_hub import constants

            return f"{constants.ENDPOINT}/{self.hub}"
        return self.url or self.file

    @property
    def files(self) -> tuple[str, ...]:
        """Names that its weights may have on the hub, best first: a repository of any name may be of transformers."""
        names = WEIGHTS_FILES[self.kind]
        return names + WEIGHTS_FILES["vfm"] if self.kind == "clip" and ":" in self.name else names

    @property
    def place(self) -> Path | None:
        """The local file, in the hub's cache, the own folder or the package, or None."""
        if self.hub:
            from huggingface_hub import try_to_load_from_cache

            cached = [try_to_load_from_cache(self.hub, name) for name in self.files]
            paths = [Path(path) for path in cached if isinstance(path, str)]
        else:
            paths = [get_weights_folder() / Path(self.url).name if self.url else ROOT / self.file]
        return next((path for path in paths if path.is_file()), None)

    @property
    def use(self) -> str:
        """The option that selects it once it is local."""
        return f"--{self.kind} {self.name}"


def get_weights_folder() -> Path:
    """Return the folder of weights that are not in the hub's cache."""
    return get_cache_folder() / "weights"


@functools.cache
def _read_catalogue() -> dict[str, Any]:
    return json.loads(Path(__file__).with_name("catalogue.json").read_text(encoding="utf-8"))


def list_weights_entries() -> tuple[WeightsEntry, ...]:
    """List all entries of the catalog, those in the package last."""
    models = _read_catalogue()["models"]
    return tuple(WeightsEntry(**{**record, "also": tuple(record.get("also", ()))}) for record in models)


def list_known_hashes() -> dict[str, tuple[str, str]]:
    """Map names of files with a known hash to (SHA-256 or its beginning, source)."""
    originals = {o["file"]: (o["sha256"], o["sha256_from"]) for o in _read_catalogue()["originals"]}
    return originals | {Path(e.url).name: (e.sha256, e.sha256_from) for e in list_weights_entries() if e.url}


def find_weights_entry(name: str) -> WeightsEntry:
    """Find the entry of a value of --clip or --vfm.

    Names of open_clip's and timm's own tables have an entry, too.

    Raises:
        ValueError: unknown name; the message has close ones.
    """
    entry = _find_in_catalogue(name) or _find_open_clip_entry(name) or _find_timm_entry(name)
    if entry is None:
        raise ValueError(format_unknown_weights(name))
    return entry


def is_in_catalogue(name: str) -> bool:
    """Return True for a value of --clip or --vfm that the catalog has."""
    return _find_in_catalogue(name) is not None


def format_unknown_weights(name: str) -> str:
    """Format the error of a name that is no value of --clip or --vfm."""
    known = [spelling for entry in list_weights_entries() for spelling in (entry.name, *entry.also)]
    close = closest_matches(name, known) or known[:3]
    return (
        f"Expected the name of a CLIP or VFM, as {', '.join(close)}, but got {name!r}. "
        "All: python -m proxyclip weights list"
    )


def list_required_weights(clip: str | None, vfm: str | None) -> list[WeightsEntry]:
    """List the entries that a choice of CLIP and VFM requires, the CLIP first.

    Args:
        clip, vfm: values of --clip and --vfm, or None. Folders, files and unknown names have no entry.

    Returns:
        Entries; those whose `place` is None are downloaded when they are loaded (SAM must be fetched before).
    """
    entries = [
        clip and (_find_in_catalogue(clip, "clip") or _find_open_clip_entry(clip)),
        vfm and (_find_in_catalogue(vfm, "vfm") or _find_timm_entry(vfm)),
    ]
    return [entry for entry in entries if entry]


def _find_in_catalogue(name: str, kind: str | None = None) -> WeightsEntry | None:
    normalized = normalize_clip_name(name)
    entries = [entry for entry in list_weights_entries() if kind in (None, entry.kind)]
    return next((e for e in entries if normalized in map(normalize_clip_name, (e.name, *e.also))), None)


def expand_clip_name(name: str) -> str:
    """Replace the short name of an embedded CLIP by its folder: `tiny-clip`; other names stay."""
    entry = _find_in_catalogue(name, "clip") if ":" not in name else None
    return f"local-dir:{Path(entry.file).parent.as_posix()}" if entry and entry.file else name


def explain_other_kind(name: str, kind: str) -> str | None:
    """Explain a name of the other kind than `kind`, which is "clip" or "vfm"; None for any other name."""
    if _find_in_catalogue(name, kind):
        return None
    if kind == "vfm":
        return f"{name} is a CLIP: say --clip {name}" if _find_in_catalogue(name, "clip") else None
    families = set(list_plugins("vfm")) - {"clip"}  # whose weights are those of a CLIP
    is_vfm = re.split("[-,]", name)[0] in families or _find_in_catalogue(name, "vfm") is not None
    return f"{name} is a VFM: say --vfm {name}" if is_vfm else None


def normalize_clip_name(name: str) -> str:
    """Convert OpenAI's spelling, up to a comma: ViT-L/14@336px -> ViT-L-14-336."""
    head, comma, rest = name.partition(",")
    return re.sub(r"@(\d+)(px)?$", r"-\1", head.replace("/", "-")) + comma + rest


def _make_hub_entry(repository: str, name: str, kind: str) -> WeightsEntry:
    same = next((entry for entry in list_weights_entries() if entry.hub == repository and entry.kind == kind), None)
    return same or WeightsEntry(name, kind, None, UNKNOWN_LICENSE, repository)


def _find_open_clip_entry(spec: str) -> WeightsEntry | None:
    """Entry of a CLIP of open_clip's own table, or of any repository."""
    name, _, tag = spec.partition(",")
    if name.startswith("hf-hub:"):
        return _make_hub_entry(name.removeprefix("hf-hub:"), spec, "clip")
    if ":" in name or tag.endswith(WEIGHTS_SUFFIXES):
        return None
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg

    known = {model.lower(): model for model in open_clip.list_models()}
    record = get_pretrained_cfg(known.get(normalize_clip_name(name).lower(), name), tag or "openai")
    repository = record.get("hf_hub") or ""
    return _make_hub_entry(repository.rstrip("/"), spec, "clip") if repository.endswith("/") else None


def _find_timm_entry(spec: str) -> WeightsEntry | None:
    """Entry of a VFM of timm's table, `FAMILY,MODEL`, or of any repository."""
    _, _, model = spec.partition(",")
    if model.startswith("hf-hub:"):
        return _make_hub_entry(model.removeprefix("hf-hub:"), spec, "vfm")
    if not model or ":" in model or model.endswith(WEIGHTS_SUFFIXES) or "," in model:
        return None
    import timm

    record: Any = timm.get_pretrained_cfg(model) if timm.is_model_pretrained(model) else None
    repository = record and record.hf_hub_id
    return _make_hub_entry(repository, spec, "vfm") if repository else None
