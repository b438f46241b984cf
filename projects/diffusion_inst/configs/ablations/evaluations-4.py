"""Ablation: 4 steps, trained as usual. 37.5 mask AP in the paper, against 37.3 with 1."""

from projects.diffu_base import get_config

_cfg = get_config("diffusion_inst/coco-r50-5x")
_cfg.train.output_dir = "./output/ablations/diffusion_inst_evaluations_4"
_cfg.model.sampler.num_steps = 4

globals().update(_cfg)
