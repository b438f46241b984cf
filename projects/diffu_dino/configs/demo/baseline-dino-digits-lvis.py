"""The baseline of the long-tailed demo: a small DINO."""

from .....configs.common.base_run import base_run
from .....configs.common.data.digit_scenes_lvis import dataloader, digit_scenes

lr_multiplier, model, optimizer, train = base_run(__file__, "baseline-dino-digits.py")[1:]
train.output_dir = "./output/digits_lvis_dino"
