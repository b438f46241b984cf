"""What the diffusion detectors share: modeling, configs, the training engine, and the use of trained models."""

from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api.pretrained import from_pretrained
    from .config.files import get_config

__all__ = ["__version__", "from_pretrained", "get_config"]


def __getattr__(name: str) -> Any:
    """Import a function on first use: it needs detectron2, and detectron2's installer is a part of this package."""
    if name == "get_config":
        from .config.files import get_config

        return get_config
    if name == "from_pretrained":
        from .api.pretrained import from_pretrained

        return from_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
