"""Ablation: 4 channels in the mask feature. 36.9 mask AP in the paper, against 37.3 with 8."""

from projects.diffu_base import get_config

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/ablations/diffusion_inst_mask_channels_4"
_cfg.model.mask_head.in_channels = 4

globals().update(_cfg)
