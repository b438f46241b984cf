"""Test-time augmentation of any config: `dataloader.test_time_augmentation = test_time_augmentation`."""

from detectron2.config import LazyCall as L
from detectron2.modeling import DatasetMapperTTA

from layers_diffu_detr.postprocess import ClassWiseNMS
from projects.diffu_base.modeling.augmented_detector import AugmentedDetector

test_time_augmentation = L(AugmentedDetector)(
    variants=L(DatasetMapperTTA)(min_sizes=[600, 800, 1000], max_size=1666, flip=True),
    nms=L(ClassWiseNMS)(iou_threshold=0.5, min_passes=1),
    max_detections="${model.select_box_nums_for_evaluation}",
)
