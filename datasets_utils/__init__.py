"""Data: detectron2 dataset dicts to model inputs, resumable loaders, evaluators, and the data sets.

Importing the package registers LVIS v1, V3Det and the digit scenes in detectron2's catalogs. Composing digit scenes
(`datasets_utils.digit_scenes`) is imported on its own, as only that needs scikit-learn.
"""

from .coco_format import check_before_training, count_classes, register_coco_format
from .detr_mapper import DetrDatasetMapper
from .evaluation import CocoStyleEvaluator, LvisStyleEvaluator
from .loader import ResumableBatchSampler, ResumableTrainingSampler, build_test_loader, build_train_loader
from .lvis import register_lvis
from .register import explain_missing_coco, register_digit_scenes
from .sampling import ResumableRepeatFactorSampler, build_repeat_factor_loader
from .transforms import FastResizeShortestEdge, FastResizeTransform
from .v3det import register_v3det

__all__ = [
    "CocoStyleEvaluator",
    "DetrDatasetMapper",
    "FastResizeShortestEdge",
    "FastResizeTransform",
    "LvisStyleEvaluator",
    "ResumableBatchSampler",
    "ResumableRepeatFactorSampler",
    "ResumableTrainingSampler",
    "build_repeat_factor_loader",
    "build_test_loader",
    "build_train_loader",
    "check_before_training",
    "count_classes",
    "register_coco_format",
    "register_digit_scenes",
    "register_lvis",
    "register_v3det",
]

explain_missing_coco()
register_lvis()
register_v3det()
register_digit_scenes()
register_digit_scenes(lvis=True)
