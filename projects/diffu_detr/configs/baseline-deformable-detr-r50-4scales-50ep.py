"""The baseline: two-stage Deformable DETR, ResNet-50, COCO, 50 epochs, as in detrex. 48.2 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_coco_schedule

_cfg = get_config("common/coco_run")
_cfg.model = get_config("diffu_detr/models/deformable_detr_r50").model
_cfg.train.output_dir = "./output/deformable_detr_r50_4scales_50ep"
set_coco_schedule(_cfg, epochs=50)

globals().update(_cfg)
