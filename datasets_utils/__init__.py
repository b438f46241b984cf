"""Data: detectron2 dataset dicts to model inputs, resumable loaders, and the digit scenes of the demo.

Importing the package registers the digit scenes in detectron2's catalogs. Composing them
(`datasets_utils.digit_scenes`) is imported on its own, as only that needs scikit-learn.
"""

from .detr_mapper import DetrDatasetMapper
from .loader import ResumableBatchSampler, ResumableTrainingSampler, build_test_loader, build_train_loader
from .register import register_digit_scenes
from .transforms import FastResizeShortestEdge, FastResizeTransform

__all__ = [
    "DetrDatasetMapper",
    "FastResizeShortestEdge",
    "FastResizeTransform",
    "ResumableBatchSampler",
    "ResumableTrainingSampler",
    "build_test_loader",
    "build_train_loader",
    "register_digit_scenes",
]

register_digit_scenes()
