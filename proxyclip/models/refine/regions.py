"""Removal of specks: small regions and holes of a label map go to their neighbors."""

import heapq
from dataclasses import dataclass, field
from typing import ClassVar

import cv2
import numpy as np
import torch
from scipy.ndimage import find_objects
from torch import Tensor

CONNECTIVITY = 4  # pixels of a region touch at their sides; two that touch at a corner are two regions


@dataclass(frozen=True)
class Regions:
    """Small regions of a label map get the label that surrounds them.

    A region is a connected component of pixels of one label, by their sides. One that is too small gets the label of
    the neighbor with which it shares the longest border, counted in pairs of pixels; of equally long ones the smallest
    label. Smaller regions go first, so that a speck within a speck is settled before it, and no region is left that is
    too small, unless it is the whole picture. It works on the labels, after the threshold; on a GPU it goes over the
    CPU.

    Args:
        min_region: pixels of the picture from which on a region of any label but 0 stays.
        min_hole: pixels from which on a region of label 0 stays, background if there is one.
    """

    min_region: int = 100
    min_hole: int = 100
    on: ClassVar[str] = "labels"

    def __post_init__(self) -> None:
        for name in ("min_region", "min_hole"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise ValueError(f"Expected {name} of regions in pixels, a whole number from 0 on, but got {size!r}")

    def __call__(self, labels: Tensor, image: Tensor | None = None) -> Tensor:
        """Clean labels (H, W) of integers; the result has the same type and device."""
        values = labels.cpu().numpy()
        cleaned = self._clean(values)
        return labels if cleaned is values else torch.from_numpy(cleaned).to(labels.device, labels.dtype)

    def _clean(self, labels: np.ndarray) -> np.ndarray:
        regions, region_labels = find_regions(labels)
        sizes = np.bincount(regions.ravel(), minlength=len(region_labels))
        if not (sizes < self._minimum(region_labels)).any():
            return labels
        borders = measure_borders(regions, len(region_labels))
        return self._merge(region_labels, sizes, borders)[regions]

    def _minimum(self, region_labels: np.ndarray) -> np.ndarray:
        return np.where(region_labels == 0, self.min_hole, self.min_region)

    def _merge(self, labels: np.ndarray, sizes: np.ndarray, borders: list[dict[int, int]]) -> np.ndarray:
        """Label of each region in the end: the smallest ones join their neighbors, one after the other."""
        graph = _RegionGraph(labels.tolist(), sizes.tolist(), borders)
        queue = [(size, region) for region, size in enumerate(graph.sizes)]
        heapq.heapify(queue)
        while queue:
            size, region = heapq.heappop(queue)
            is_current = graph.owners[region] == region and graph.sizes[region] == size
            minimum = self.min_hole if graph.labels[region] == 0 else self.min_region
            if is_current and size < minimum and graph.borders[region]:
                joined = graph.join_neighbors(region)
                heapq.heappush(queue, (graph.sizes[joined], joined))
        return np.array([graph.labels[graph.find_owner(region)] for region in range(len(labels))], labels.dtype)


@dataclass
class _RegionGraph:
    """Regions, and the lengths of the borders between them, as they join."""

    labels: list[int]
    sizes: list[int]
    borders: list[dict[int, int]]
    owners: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.owners = list(range(len(self.labels)))

    def find_owner(self, region: int) -> int:
        """Return the region that a region is a part of."""
        while self.owners[region] != region:
            region = self.owners[region]
        return region

    def join_neighbors(self, region: int) -> int:
        """Join a region with its neighbors of the label with the longest border; returns the whole."""
        lengths: dict[int, int] = {}
        for other, length in self.borders[region].items():
            lengths[self.labels[other]] = lengths.get(self.labels[other], 0) + length
        label = min(lengths, key=lambda label: (-lengths[label], label))
        parts = [region, *(other for other in self.borders[region] if self.labels[other] == label)]
        whole = max(parts, key=lambda part: (len(self.borders[part]), -part))  # the fewest borders are moved
        self.labels[whole] = label
        for part in parts:
            if part != whole:
                self._absorb(whole, part)
        return whole

    def _absorb(self, whole: int, part: int) -> None:
        self.owners[part] = whole
        self.sizes[whole] += self.sizes[part]
        for neighbor, length in self.borders[part].items():
            del self.borders[neighbor][part]
            if neighbor != whole:
                length += self.borders[whole].get(neighbor, 0)
                self.borders[whole][neighbor] = self.borders[neighbor][whole] = length
        self.borders[part] = {}


def find_regions(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number the connected regions of a label map (H, W).

    Returns:
        Region of every pixel (H, W) int32, counted from 0, and the label of each region (regions,).
    """
    regions = np.empty(labels.shape, np.int32)
    region_labels: list[int] = []
    for label, box in enumerate(find_objects(labels.astype(np.int32) + 1)):  # the box around a label's pixels
        if box is None:
            continue
        mask = labels[box] == label
        count, numbers = cv2.connectedComponents(mask.astype(np.uint8), connectivity=CONNECTIVITY, ltype=cv2.CV_32S)
        regions[box][mask] = numbers[mask] + (len(region_labels) - 1)
        region_labels += [label] * (count - 1)
    return regions, np.array(region_labels, labels.dtype)


def measure_borders(regions: np.ndarray, count: int) -> list[dict[int, int]]:
    """Length of the border between neighboring regions: for each a dict from neighbor to pairs of pixels."""
    pairs = []
    for first, second in ((regions[:, :-1], regions[:, 1:]), (regions[:-1], regions[1:])):
        differs = first != second
        pairs.append(np.minimum(first, second)[differs].astype(np.int64) * count + np.maximum(first, second)[differs])
    codes, lengths = np.unique(np.concatenate(pairs), return_counts=True)
    borders: list[dict[int, int]] = [{} for _ in range(count)]
    for code, length in zip(codes.tolist(), lengths.tolist(), strict=True):
        first_region, second_region = divmod(code, count)
        borders[first_region][second_region] = borders[second_region][first_region] = length
    return borders
