"""DiffusionInst, Swin-B, COCO, 60 epochs. 46.6 mask AP in the paper, 46.8 with 4 steps in the authors' table."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import SWIN_BASE_224_22K_WEIGHTS

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.model = get_config("diffusion_inst/models/diffusion_inst_swin_base").model
_cfg.train.init_checkpoint = SWIN_BASE_224_22K_WEIGHTS
_cfg.train.output_dir = "./output/diffusion_inst_swinb_coco_5x"

globals().update(_cfg)
