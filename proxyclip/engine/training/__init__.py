"""Training runs of train.py and the configs of configs/trained.

Nothing else imports this package.

Importing it registers the components that training configs name: loop, sampler, scheduler, optimizer wrappers, hooks.
A method is a subpackage with a segmentor on `model.TrainedSegmentor`, `text.TextSegmentor` or `text.SplitSegmentor`;
configs import both by `custom_imports`.
"""

from proxyclip.engine.training import checkpoint, hooks, loop, optim, schedule

__all__ = ["checkpoint", "hooks", "loop", "optim", "schedule"]
