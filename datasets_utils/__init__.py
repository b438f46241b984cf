"""Data sets, the mapper from detectron2's dataset dicts to model inputs, loaders that resume, and evaluators.

To import this package is to register LVIS v1, V3Det and the digit scenes in detectron2's catalogs. If a user has
registered a data set under one of their names before, that data set stays, and a warning says so.

`datasets_utils.digit_scenes`, which makes the digit scenes, is not imported here because it needs scikit-learn.
"""

from .catalogs import register_on_import
from .coco_format import check_before_training, count_classes, register_coco_format
from .detr_mapper import DetrDatasetMapper
from .evaluation import CocoStyleEvaluator, LvisStyleEvaluator
from .loader import ResumableBatchSampler, ResumableTrainingSampler, build_test_loader, build_train_loader
from .lvis import lvis_data_sets, register_lvis
from .register import digit_scenes_data_sets, explain_missing_coco, register_digit_scenes
from .sampling import ResumableRepeatFactorSampler, build_repeat_factor_loader
from .transforms import FastResizeShortestEdge, FastResizeTransform
from .v3det import register_v3det, v3det_data_sets

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
register_on_import(*lvis_data_sets(), call="register_lvis()")
register_on_import(*v3det_data_sets(), call="register_v3det()")
register_on_import(*digit_scenes_data_sets(), call="register_digit_scenes()")
register_on_import(*digit_scenes_data_sets(lvis=True), call="register_digit_scenes(lvis=True)")
