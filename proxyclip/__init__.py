"""Open-vocabulary segmentation: ProxyCLIP and its relatives on one evaluation skeleton, built on MMSegmentation.

Importing the package is cheap. Its one effect is `compat.install()`, so that MMSegmentation can be imported beside
an mmcv without compiled operators; worker processes inherit that by importing the package too.
"""

from proxyclip import compat

__version__ = "0.1.0"

compat.install()
