"""DiffuAlignDETR, ResNet-50, COCO, 24 epochs. 51.9 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_coco_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.model = get_config("diffu_align_detr/models/diffu_aligndetr_r50").model
_cfg.train.output_dir = "./output/diffu_aligndetr_r50_4scales_24ep"
set_coco_schedule(_cfg, epochs=24)

globals().update(_cfg)
