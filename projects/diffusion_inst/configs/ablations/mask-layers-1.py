"""Ablation: 1 layer in the mask head, 9 numbers per object. 33.2 mask AP in the paper, against 37.3 with 3."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_mask_layers_1"

model.mask_head.num_layers = 1
