"""The demo with two-stage Deformable DETR, DiffuDETR's baseline: small, on digit scenes."""

from .....configs.common.digits_demo import dataloader, digit_scenes, lr_multiplier, make_small, optimizer, train
from ..models.deformable_detr_r50 import model

make_small(model)
train.output_dir = "./output/digits_deformable_detr"
