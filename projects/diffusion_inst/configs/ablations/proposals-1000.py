"""Ablation: 1,000 proposals. 37.4 mask AP in the paper, against 37.3 with 500."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_proposals_1000"

model.num_proposals = 1000
