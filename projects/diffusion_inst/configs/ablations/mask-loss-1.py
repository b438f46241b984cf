"""Ablation: mask loss of weight 1 on every head. 34.2 mask AP in the paper, against 37.3 with 5."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_mask_loss_1"

model.criterion.weight_dict.loss_mask = 1.0
