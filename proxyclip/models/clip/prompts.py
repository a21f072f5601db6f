"""Text features of class names over prompt templates.

Prompt ensembling: Radford et al. (arXiv 2103.00020), section 3.1.4.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


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
