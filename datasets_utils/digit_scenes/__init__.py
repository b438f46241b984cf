"""Digit scenes: handwritten digits on photographs, the data set of the demo. Needs scikit-learn."""

from .scenes import DigitSceneSettings, build_digit_scenes

__all__ = ["DigitSceneSettings", "build_digit_scenes"]
