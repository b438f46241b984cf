"""LVIS v1: COCO's loaders with repeat-factor sampling, and LVIS's average precision of 300 detections per image."""

from detectron2.config import LazyCall as L

from datasets_utils.evaluation import LvisStyleEvaluator
from datasets_utils.sampling import build_repeat_factor_loader
from projects.diffu_base import get_config

dataloader = get_config("common/data/coco_detr").dataloader

dataloader.train._target_ = build_repeat_factor_loader
dataloader.train.repeat_thresh = 0.001
dataloader.train.dataset.names = "lvis_v1_train"
dataloader.test.dataset.names = "lvis_v1_val"

dataloader.evaluator = L(LvisStyleEvaluator)(
    dataset_name="${..test.dataset.names}",
    backend="auto",
    max_dets=300,  # per image, LVIS's own number
    output_dir=None,
)
