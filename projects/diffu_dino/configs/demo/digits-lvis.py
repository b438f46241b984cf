"""The demo on digit scenes with a long tail, in LVIS's format: APr, APc and APf beside AP."""

from .....configs.common.base_run import base_run
from .....configs.common.data.digit_scenes_lvis import dataloader, digit_scenes

lr_multiplier, model, optimizer, train = base_run(__file__, "digits.py")[1:]
train.output_dir = "./output/digits_lvis"
