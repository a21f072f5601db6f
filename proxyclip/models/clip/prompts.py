"""Text features of class names over prompt templates, cached on disk.

Prompt ensembling: Radford et al. (arXiv 2103.00020), section 3.1.4.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from proxyclip.utils.hashing import hash_chunks, hash_value
from proxyclip.utils.io import replace_file
from proxyclip.utils.paths import get_cache_folder

logger = logging.getLogger(__name__)
CACHE_FORMAT = 1


def embed_class_names(
    names: Sequence[str],
    templates: Sequence[str],
    tokenize: Callable[[list[str]], Tensor],
    encode: Callable[[Tensor], Tensor],
    batch: int = 80,
    names_per_sort: int = 64,
    unit: bool = True,
) -> Tensor:
    """Compute one text feature a name: the mean over templates of unit features.

    Args:
        templates: format strings with one `{}`.
        tokenize: texts -> token ids (B, L), zeros after the end token.
        encode: token ids (B, L' <= L) -> features (B, d). It must be causal: prompts are cut to a batch's longest.
        batch: maximum number of prompts encoded at once, sorted by length: a batch is as long as its longest prompt.
        names_per_sort: names whose prompts are sorted together.
        unit: normalize the means.

    Returns:
        (names, d) float32.
    """
    rows = []
    for first in range(0, len(names), names_per_sort):
        name_chunk = names[first : first + names_per_sort]
        tokens = tokenize([template.format(name) for name in name_chunk for template in templates])
        # the last token that is not zero: zeros inside a prompt are no end
        lengths = tokens.shape[1] - tokens.ne(0).flip(1).int().argmax(1)
        order = lengths.argsort()
        parts = [encode(tokens[indices, : int(lengths[indices[-1]])]).float() for indices in order.split(batch)]
        features = F.normalize(torch.cat(parts), dim=-1)[order.argsort().to(parts[0].device)]
        means = features.unflatten(0, (len(name_chunk), -1)).mean(1)
        rows.append(F.normalize(means, dim=-1) if unit else means)
    return torch.cat(rows)


def load_or_compute_features(
    key: Sequence[object], compute: Callable[[], Tensor], folder: Path | None = None
) -> Tensor:
    """Return cached features of a key, or compute and cache them.

    A damaged or unwritable cache costs time, never the run: the file is checked by hash and replaced as a whole.

    Args:
        key: everything that can change the result, JSON-serializable.
        folder: default `$PROXYCLIP_CACHE`, else `~/.cache/proxyclip`.
    """
    folder = folder or get_cache_folder()
    path = folder / f"text-{hash_value([CACHE_FORMAT, *key])[:40]}.pt"
    if path.is_file():
        try:
            entry = torch.load(path, map_location="cpu", weights_only=True)
            if entry["digest"] == _hash_features(entry["features"]):
                return entry["features"]
        except Exception as error:  # any damage: compute again
            logger.debug("%s", error)
        logger.warning("The text cache file %s is damaged; computing it again", path)
    features = compute()

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # torch.save of a path raises no OSError
            torch.save({"features": features.cpu(), "digest": _hash_features(features)}, file)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, write)
    except OSError as error:
        logger.warning("Text features are not cached: %s", error)
    return features


def _hash_features(features: Tensor) -> str:
    return hash_chunks([features.cpu().contiguous().numpy()])
