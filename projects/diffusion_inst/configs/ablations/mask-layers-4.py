"""Ablation: 4 layers in the mask head, 225 numbers per object. 37.3 mask AP in the paper, against 37.3 with 3."""

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../coco-r50-5x.py")
train.output_dir = "./output/ablations/diffusion_inst_mask_layers_4"

model.mask_head.num_layers = 4
