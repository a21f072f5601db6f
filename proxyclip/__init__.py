"""Open-vocabulary segmentation: ProxyCLIP and its relatives on one evaluation skeleton, built on MMSegmentation.

    >>> from proxyclip import Segmenter, segment

Importing the package is cheap: those names are loaded when they are asked for. Its effects are `prepare_home()`, for
user ids without a home folder, and `prepare_mmseg_import()`, so that MMSegmentation can be imported beside an mmcv
without compiled operators; worker processes inherit both by importing the package too.
"""

from typing import TYPE_CHECKING, Any

from proxyclip.utils.home import prepare_home
from proxyclip.utils.mmcv_compat import prepare_mmseg_import
from proxyclip.utils.version import __version__

if TYPE_CHECKING:
    from proxyclip.apis import Segmentation, Segmenter, segment

__all__ = ["Segmentation", "Segmenter", "__version__", "register", "segment"]

prepare_home()
prepare_mmseg_import()


def register() -> None:
    """Import everything that a config may name, so that MMSegmentation's registries know it."""
    from proxyclip.engine.config.registration import register_all_modules

    register_all_modules()


def __getattr__(name: str) -> Any:
    if name in __all__:
        from proxyclip import apis

        return getattr(apis, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
