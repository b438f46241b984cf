"""The demo with DiffuDETR: small, on digit scenes."""

from .....configs.common.digits_demo import dataloader, digit_scenes, lr_multiplier, make_small, optimizer, train
from ..models.diffu_detr_r50 import model

make_small(model)
model.sampler.seed = 0
train.output_dir = "./output/digits_diffu_detr"
