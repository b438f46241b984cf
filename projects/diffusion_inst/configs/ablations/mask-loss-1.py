"""Ablation: mask loss of weight 1 on every head. 34.2 mask AP in the paper, against 37.3 with 5."""

from projects.diffu_base import get_config

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/ablations/diffusion_inst_mask_loss_1"
_cfg.model.criterion.weight_dict.loss_mask = 1.0

globals().update(_cfg)
