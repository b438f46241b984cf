"""What the diffusion detectors share: modeling, configs, the training engine, and the use of trained models."""

import warnings
from typing import TYPE_CHECKING, Any

from .version import __version__

if TYPE_CHECKING:
    from .api.pretrained import from_pretrained
    from .config.files import get_config

__all__ = ["__version__", "from_pretrained", "get_config"]


# fvcore calls it when it is imported; whoever uses this package can do nothing about it.
warnings.filterwarnings("ignore", message="`torch.jit.script` is", category=FutureWarning, append=True)


def __getattr__(name: str) -> Any:
    """Import a function on first use: it needs detectron2, and detectron2's installer is a part of this package."""
    if name == "get_config":
        from .config.files import get_config

        return get_config
    if name == "from_pretrained":
        from .api.pretrained import from_pretrained

        return from_pretrained
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
