"""Methods that are trained: what train.py and the configs of configs/trained need. Nothing else imports this package.

Importing it registers what their configs name: loop, schedule, optimiser wrapper, hooks, SuppressLabels. A method is a
folder beside, with a segmentor on `model.TrainedSegmentor`, `text.TextSegmentor` or `split.SplitSegmentor`; configs
import it by `custom_imports`.
"""

from . import checkpoints, draws, labels, optim, schedule, split, wrapper

__all__ = ["checkpoints", "draws", "labels", "optim", "schedule", "split", "wrapper"]
