"""The demo with Align-DETR, DiffuAlignDETR's baseline: small, on digit scenes."""

from .....configs.common.digits_demo import dataloader, digit_scenes, lr_multiplier, make_small, optimizer, train
from ..models.aligndetr_r50 import model

make_small(model)
train.output_dir = "./output/digits_aligndetr"
