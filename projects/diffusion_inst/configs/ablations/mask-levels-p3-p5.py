"""Ablation: the mask feature from p3 to p5, as the paper says; the released code takes p2 to p4."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_mask_levels_p3_p5"

model.mask_features = ["p3", "p4", "p5"]
