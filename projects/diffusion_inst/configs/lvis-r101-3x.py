"""DiffusionInst, ResNet-101, LVIS v1, 270,000 iterations. 27.0 mask AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import RESNET_101_WEIGHTS

_cfg = get_config("diffusion_inst/lvis-r50-3x")
_cfg.model.backbone.bottom_up.stages.depth = 101
_cfg.train.init_checkpoint = RESNET_101_WEIGHTS
_cfg.train.output_dir = "./output/diffusion_inst_r101_lvis_3x"

globals().update(_cfg)
