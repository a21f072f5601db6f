"""Methods that are trained: what train.py and the configs of configs/trained need. Nothing else imports this package.

Importing it registers what their configs name: loop, schedule, optimiser wrapper, hooks. A method is a folder beside,
with a segmentor on `model.TrainedSegmentor`; configs import it by `custom_imports`.
"""

from . import checkpoints, draws, optim, schedule, wrapper

__all__ = ["checkpoints", "draws", "optim", "schedule", "wrapper"]
