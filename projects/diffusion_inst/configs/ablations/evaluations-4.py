"""Ablation: 4 steps, trained as usual. 37.5 mask AP in the paper, against 37.3 with 1."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_evaluations_4"

model.sampler.num_steps = 4
