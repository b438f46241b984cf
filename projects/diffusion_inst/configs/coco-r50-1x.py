"""DiffusionInst, ResNet-50, COCO, 12 epochs. 30.4 mask AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_standard_schedule

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/diffusion_inst_r50_coco_1x"
set_standard_schedule(_cfg, times=1)

globals().update(_cfg)
