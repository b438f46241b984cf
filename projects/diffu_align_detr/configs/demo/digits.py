"""The demo with DiffuAlignDETR: small, on digit scenes."""

from .....configs.common.digits_demo import dataloader, digit_scenes, lr_multiplier, make_small, optimizer, train
from ..models.diffu_aligndetr_r50 import model

make_small(model)
model.sampler.seed = 0
train.output_dir = "./output/digits_diffu_aligndetr"
