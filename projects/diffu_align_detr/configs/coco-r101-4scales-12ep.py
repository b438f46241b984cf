"""DiffuAlignDETR, ResNet-101, COCO, 12 epochs. 51.7 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import RESNET_101_WEIGHTS
from projects.diffu_base.config.schedules import set_coco_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.model = get_config("diffu_align_detr/models/diffu_aligndetr_r50").model
_cfg.model.backbone.stages.depth = 101
_cfg.train.init_checkpoint = RESNET_101_WEIGHTS
_cfg.train.output_dir = "./output/diffu_aligndetr_r101_4scales_12ep"
_cfg.train.model_ema.decay = 0.9997
set_coco_schedule(_cfg, epochs=12)

globals().update(_cfg)
