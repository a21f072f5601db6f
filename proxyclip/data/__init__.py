"""What MMSegmentation lacks to score these benchmarks right: dataset classes, exact label loading, an exact metric.

Importing it registers everything in MMSegmentation's registries.
"""

from .datasets import (
    ADE20K847Dataset,
    ADE20KDataset,
    CityscapesDataset,
    COCOObjectDataset,
    COCOStuff10kDataset,
    COCOStuffDataset,
    FolderDataset,
    PascalContext59Dataset,
    PascalContext60Dataset,
    PascalContext459Dataset,
    PascalVOC20Dataset,
    PascalVOCDataset,
    TinyWorldDataset,
)
from .loading import LoadImageFromFile, MyLoadAnnotations
from .metric import SegMetric
from .preprocess import MixedSizePreProcessor

__all__ = [
    "ADE20K847Dataset",
    "ADE20KDataset",
    "COCOObjectDataset",
    "COCOStuff10kDataset",
    "COCOStuffDataset",
    "CityscapesDataset",
    "FolderDataset",
    "LoadImageFromFile",
    "MixedSizePreProcessor",
    "MyLoadAnnotations",
    "PascalContext59Dataset",
    "PascalContext60Dataset",
    "PascalContext459Dataset",
    "PascalVOC20Dataset",
    "PascalVOCDataset",
    "SegMetric",
    "TinyWorldDataset",
]
