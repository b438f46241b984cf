"""DiffusionInst, ResNet-50, COCO, 36 epochs. 35.6 mask AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_standard_schedule

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/diffusion_inst_r50_coco_3x"
set_standard_schedule(_cfg, times=3)

globals().update(_cfg)
