"""Ablation: 4 layers in the mask head, 225 numbers per object. 37.3 mask AP in the paper, against 37.3 with 3."""

from projects.diffu_base import get_config

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/ablations/diffusion_inst_mask_layers_4"
_cfg.model.mask_head.num_layers = 4

globals().update(_cfg)
