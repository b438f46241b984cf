"""V3Det: COCO's loaders with repeat-factor sampling, and COCO's average precision of 300 detections per class.

V3Det's authors also count 300. docs/datasets.md says what else their evaluator does.
"""

from datasets_utils.sampling import build_repeat_factor_loader
from projects.diffu_base import get_config

dataloader = get_config("common/data/coco_detr").dataloader

dataloader.train._target_ = build_repeat_factor_loader
dataloader.train.repeat_thresh = 0.001
dataloader.train.total_batch_size = 8
dataloader.train.dataset.names = "v3det_train"
dataloader.test.dataset.names = "v3det_val"
dataloader.evaluator.max_dets = 300
