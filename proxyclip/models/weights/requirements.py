"""Weights and tokenizers that a choice of models requires, fetched or named all at once."""

import shlex
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from proxyclip.models.clip.support import read_open_clip_configs
from proxyclip.models.weights import WeightsError, short_reason
from proxyclip.models.weights.catalogue import WeightsEntry, list_required_weights, normalize_clip_name
from proxyclip.models.weights.fetch import fetch_weights

# Files of a tokenizer of transformers, each of which some have.
TOKENIZER_FILES = (
    "tokenizer_config.json", "tokenizer.json", "vocab.txt", "sentencepiece.bpe.model", "special_tokens_map.json",
    "config.json"
)  # fmt: skip


def provide_required_weights(clip: str | None, vfm: str | None) -> None:
    """Download the missing weights and tokenizer of a choice of models, with name, size, source and target.

    Args:
        clip, vfm: values of --clip and --vfm, or None.

    Raises:
        WeightsError: some cannot be had; the message names all of them, and one command that fetches them.
    """
    from huggingface_hub import constants

    entries = [entry for entry in list_required_weights(clip, vfm) if entry.place is None]
    tokenizer = find_missing_tokenizer(clip) if clip else None
    if not entries and tokenizer is None:
        return
    if constants.HF_HUB_OFFLINE:
        raise WeightsError(
            format_missing_weights(entries, tokenizer, ["nothing is fetched, for HF_HUB_OFFLINE is set"])
        )
    print("Weights that are not on this machine yet are downloaded once (docs/install.md: without network)", flush=True)
    missing, reasons = [], []
    for entry in entries:
        try:
            fetch_weights(entry)
        except WeightsError as error:
            missing.append(entry)
            reasons.append(str(error).partition("\n  on a machine")[0])
    if tokenizer is not None:
        try:
            fetch_tokenizer(tokenizer)
            tokenizer = None
        except WeightsError as error:
            reasons.append(str(error))
    if missing or tokenizer:
        raise WeightsError(format_missing_weights(missing, tokenizer, reasons))


def format_missing_weights(entries: Sequence[WeightsEntry], tokenizer: str | None, reasons: Sequence[str]) -> str:
    """Format the error of all weights that are missing, with the ways to get them.

    Args:
        entries: of the catalog. tokenizer: repository of one, or None. reasons: that they could not be fetched.
    """
    names = [entry.name for entry in entries] + ([f"the tokenizer {tokenizer}"] if tokenizer else [])
    verb = "is" if len(names) == 1 else "are"
    lines = [f"{' and '.join(names)} {verb} not on this machine, and {verb} needed."]
    if entries:
        arguments = " ".join(shlex.quote(entry.name) for entry in entries)
        lines[0] += f" Get {'it' if len(names) == 1 else 'them'}: python -m proxyclip weights fetch {arguments}"
    lines += [f"  why:    {reason}" for reason in dict.fromkeys(reasons)]
    for entry in entries:
        by_hand = f"hf download {entry.hub} --local-dir FOLDER" if entry.hub else f"curl -LO {entry.url}"
        lines.append(f"  by hand, on another machine: {by_hand}   ({entry.name})")
    if tokenizer:
        lines.append(f"  tokenizer: hf download {tokenizer}   (fetched with the CLIP)")
    lines.append("  use it: --clip local-dir:FOLDER, --vfm NAME,local-dir:FOLDER, or --vfm NAME,FILE (docs/models.md)")
    return "\n".join(lines)


def find_missing_tokenizer(clip: str) -> str | None:
    """Return the repository of a CLIP's tokenizer that is not in the hub's cache; None if none is missing."""
    from huggingface_hub import try_to_load_from_cache

    name = normalize_clip_name(clip).partition(",")[0].lower()
    configs = {known.lower(): config for known, config in read_open_clip_configs().items()}
    repository = configs.get(name, {}).get("text_cfg", {}).get("hf_tokenizer_name")
    if not repository or Path(repository).is_dir():
        return None
    cached = (try_to_load_from_cache(repository, file) for file in TOKENIZER_FILES[:4])
    return None if any(isinstance(path, str) for path in cached) else repository


def fetch_tokenizer(repository: str) -> None:
    """Fetch the files of a tokenizer from the hub.

    Raises:
        WeightsError: it is not there, or there is no network.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    count = 0
    try:
        for name in TOKENIZER_FILES:
            with suppress(EntryNotFoundError):
                try:
                    hf_hub_download(repository, name)
                    count += 1
                except LocalEntryNotFoundError as error:  # no network; a kind of the above
                    raise OSError(str(error)) from error
    except Exception as error:  # of huggingface_hub, or of the HTTP library that its version uses
        raise WeightsError(f"The tokenizer {repository} could not be fetched ({short_reason(error)})") from error
    if not count:
        raise WeightsError(f"The tokenizer {repository} has none of the files {', '.join(TOKENIZER_FILES)}")
    print(f"The tokenizer {repository} is there")
