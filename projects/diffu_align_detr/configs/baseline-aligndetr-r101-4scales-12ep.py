"""The baseline: Align-DETR, ResNet-101, COCO, 12 epochs. 51.2 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import RESNET_101_WEIGHTS
from projects.diffu_base.config.schedules import set_coco_schedule

_cfg = get_config("common/coco_run")
_cfg.model = get_config("diffu_align_detr/models/aligndetr_r50").model
_cfg.model.backbone.stages.depth = 101
_cfg.train.init_checkpoint = RESNET_101_WEIGHTS
_cfg.train.output_dir = "./output/aligndetr_r101_4scales_12ep"
set_coco_schedule(_cfg, epochs=12)

globals().update(_cfg)
