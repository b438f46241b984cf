"""DiffusionInst, Swin-B, LVIS v1, 270,000 iterations. 36.0 mask AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import SWIN_BASE_224_22K_WEIGHTS, swin, use_pyramid

_cfg = get_config("diffusion_inst/lvis-r50-3x")
use_pyramid(_cfg.model, swin("base", image_size=224, drop_path_rate=0.3))
_cfg.train.init_checkpoint = SWIN_BASE_224_22K_WEIGHTS
_cfg.train.output_dir = "./output/diffusion_inst_swinb_lvis_3x"

globals().update(_cfg)
