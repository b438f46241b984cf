"""Makes the digit scenes, the demo's data set: images of handwritten digits on photographs.

This package needs scikit-learn, which has the digits and the photographs.
"""

from .build import build_digit_scenes
from .scenes import DigitSceneSettings

__all__ = ["DigitSceneSettings", "build_digit_scenes"]
