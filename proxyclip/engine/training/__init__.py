"""Training runs of train.py.

Importing it registers the components that training configs name: loop, sampler, scheduler, optimizer wrappers, hooks.
Configs import it, and the method of `proxyclip.models.trained`, by `custom_imports`.
"""

from proxyclip.engine.training import checkpoint, hooks, loop, optim, schedule

__all__ = ["checkpoint", "hooks", "loop", "optim", "schedule"]
