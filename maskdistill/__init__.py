"""MaskDistill: unsupervised semantic segmentation of any folder of pictures (unofficial)."""

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["discover"]

if TYPE_CHECKING:
    from maskdistill.api import discover
else:

    def __getattr__(name: str) -> object:
        """Return `api.discover` when it is asked for: `import maskdistill` loads nothing."""
        if name in __all__:
            from importlib import import_module

            return getattr(import_module("maskdistill.api"), name)
        raise AttributeError(f"module 'maskdistill' has no attribute {name!r}")

    def __dir__() -> list[str]:
        return [*globals(), *__all__]
