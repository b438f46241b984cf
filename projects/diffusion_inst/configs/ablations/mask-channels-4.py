"""Ablation: 4 channels in the mask feature. 36.9 mask AP in the paper, against 37.3 with 8."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_mask_channels_4"

model.mask_head.in_channels = 4
