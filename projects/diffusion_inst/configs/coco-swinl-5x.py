"""DiffusionInst, Swin-L, COCO, 60 epochs. 47.8 mask AP in the paper, with 1 step and with 4."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import SWIN_LARGE_224_22K_WEIGHTS

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.model = get_config("diffusion_inst/models/diffusion_inst_swin_large").model
_cfg.train.init_checkpoint = SWIN_LARGE_224_22K_WEIGHTS
_cfg.train.output_dir = "./output/diffusion_inst_swinl_coco_5x"

globals().update(_cfg)
