"""The baseline: DINO, ResNet-50, COCO, 36 epochs. 50.9 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_coco_schedule

_cfg = get_config("common/coco_run")
_cfg.model = get_config("diffu_dino/models/dino_r50").model
_cfg.train.output_dir = "./output/dino_r50_4scales_36ep"
set_coco_schedule(_cfg, epochs=36)

globals().update(_cfg)
