"""MMEngine's Runner with a quiet console and a resumable test loop."""

import logging
from collections.abc import Mapping
from typing import Any

from mmengine.logging import MMLogger
from mmengine.runner import Runner

from proxyclip.engine.config.components import resolve_model_type
from proxyclip.engine.evaluation.loop import ResumableLoop
from proxyclip.utils.distributed import rank_zero_first


class QuietRunner(Runner):
    """MMEngine's Runner that logs to its file only; rank zero builds the model first."""

    def build_logger(self, *args: Any, **kwargs: Any) -> MMLogger:
        """Build the usual logger; its console handler lets warnings and errors pass only."""
        logger = super().build_logger(*args, **kwargs)
        for handler in logger.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setLevel(max(handler.level, logging.WARNING))
        return logger

    def build_test_loop(self, loop: Any) -> Any:
        """Build the loop that can be resumed where the config has MMEngine's plain one."""
        if isinstance(loop, Mapping) and loop.get("type", "TestLoop") == "TestLoop":
            arguments = {key: value for key, value in loop.items() if key != "type"}
            return ResumableLoop(self, self._test_dataloader, self._test_evaluator, **arguments)
        return super().build_test_loop(loop)

    def build_model(self, model: Any) -> Any:
        """Build the model in process 0 first, which fills the caches of the others."""
        with rank_zero_first():
            return super().build_model(resolve_model_type(model) if isinstance(model, Mapping) else model)
