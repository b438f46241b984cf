"""The demo's baseline: a small DINO on digit scenes."""

from .....configs.common.digits_demo import dataloader, digit_scenes, lr_multiplier, make_small, optimizer, train
from ..models.dino_r50 import model

make_small(model)
train.output_dir = "./output/digits_dino"
