"""Ablation: the mask feature from p3 to p5, as the paper says; the released code takes p2 to p4."""

from projects.diffu_base import get_config

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/ablations/diffusion_inst_mask_levels_p3_p5"
_cfg.model.mask_features = ["p3", "p4", "p5"]

globals().update(_cfg)
