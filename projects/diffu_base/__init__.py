"""What the diffusion detectors share: modeling, configs and the training engine."""

from .config.files import get_config

__all__ = ["get_config"]
