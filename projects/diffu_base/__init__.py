"""What the diffusion detectors share: modeling, configs and the training engine."""

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .config.files import get_config

__all__ = ["__version__", "get_config"]


def __getattr__(name: str) -> Any:
    """Import `get_config` on first use: it needs detectron2, and detectron2's installer is a part of this package."""
    if name == "get_config":
        from .config.files import get_config

        return get_config
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
