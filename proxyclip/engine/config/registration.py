"""Registration of the classes that configs name."""

import importlib
import uuid
from collections.abc import Mapping

from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS

from proxyclip.models.registry import list_plugins

REGISTERED_MODULES = (  # MMSegmentation's first: names of this project replace those
    "mmseg.datasets", "mmseg.models", "mmseg.evaluation", "proxyclip.data.benchmarks", "proxyclip.data.transforms",
    "proxyclip.models.preprocessor", *(f"proxyclip.models.segmentors.{name}" for name in list_plugins("methods")),
    "proxyclip.engine.evaluation.metrics", "proxyclip.engine.hooks", "proxyclip.engine.wrappers"
)  # fmt: skip


def register_modules() -> None:
    """Import the modules whose classes configs of training-free models name."""
    for name in REGISTERED_MODULES:
        importlib.import_module(name)


def register_all_modules() -> None:
    """Import the modules whose classes any config may name."""
    register_modules()
    for name in ("engine.training", "models.trained.maskclip_plus", "models.trained.clip_rc"):
        importlib.import_module(f"proxyclip.{name}")


def generates_data(dataset: Mapping) -> bool:
    """Return True if the class of a data set makes its data where they are missing."""
    register_modules()
    return getattr(DATASETS.get(str(dataset.get("type"))), "generated", False)


def activate_scope(cfg: Config) -> None:
    """Make the scope of the config, MMSegmentation's registries, the default one."""
    DefaultScope.get_instance(f"eval-{uuid.uuid4().hex}", scope_name=cfg.default_scope)
