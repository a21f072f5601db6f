"""Results of the page, and their store on the server."""

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from proxyclip.apis import Segmentation, Segmenter
from proxyclip.apis.web.model_cache import ModelChoice

MAX_KEPT_RESULTS = 16
MAX_KEPT_PIXELS = 120e6  # of all kept results together


@dataclass(frozen=True, eq=False)
class PaneResult:
    """One segmentation of the image, with the models that made it.

    Attributes:
        seconds: inference time, without loading.
        has_other: class 0 is `other`, which has no names and no probability.
        notes: which classes were understood, and what may surprise.
        render_cache: data URIs by name.
    """

    choice: ModelChoice
    segmenter: Segmenter
    segmentation: Segmentation
    seconds: float
    has_other: bool
    notes: tuple[str, ...] = ()
    render_cache: dict[str, str] = field(default_factory=dict)


class ResultStore:
    """Store of the latest results of all sessions, under random keys.

    Args:
        max_size: maximum number of results.
        max_pixels: maximum number of pixels of all results together; a single result may have more.
    """

    def __init__(self, max_size: int = MAX_KEPT_RESULTS, max_pixels: float = MAX_KEPT_PIXELS) -> None:
        self.max_size = max_size
        self.max_pixels = max_pixels
        self._results: OrderedDict[str, list[PaneResult]] = OrderedDict()

    def put(self, panes: list[PaneResult]) -> str:
        """Keep a result and return its key; drop the oldest if there are too many."""
        key = secrets.token_urlsafe(16)
        self._results[key] = panes
        while len(self._results) > 1 and (len(self._results) > self.max_size or self._count_pixels() > self.max_pixels):
            self._results.popitem(last=False)
        return key

    def get(self, key: str) -> list[PaneResult]:
        """Return a result. Raises ValueError for one that was dropped."""
        if key not in self._results:
            raise ValueError("This result is no longer kept on the server: press Segment again")
        return self._results[key]

    def drop(self, key: str) -> None:
        """Drop a result, if it is there."""
        self._results.pop(key, None)

    def drop_model(self, choice: ModelChoice) -> None:
        """Drop the results of a model, which would keep its networks in memory."""
        for key, panes in list(self._results.items()):
            if any(pane.choice == choice for pane in panes):
                self.drop(key)

    def _count_pixels(self) -> int:
        return sum(pane.segmentation.labels.size for panes in list(self._results.values()) for pane in panes)


def compute_agreement(panes: Sequence[PaneResult]) -> float | None:
    """Compute the percent of pixels of the same class in both panes, None for one."""
    if len(panes) < 2:
        return None
    return 100 * float((panes[0].segmentation.labels == panes[1].segmentation.labels).mean())
