"""The demo: a small DiffuDINO on digit scenes, from scratch in minutes on two CPU cores."""

from detectron2.config import LazyCall as L

from projects.diffu_base.modeling.criterion import TargetsAsGiven

from .....configs.common.digits_demo import dataloader, digit_scenes, lr_multiplier, make_small, optimizer, train
from ..models.diffu_dino_r50 import model

make_small(model)
model.criterion.encoder_targets = L(TargetsAsGiven)()  # teaches the new backbone the classes sooner
model.sampler.seed = 0
train.output_dir = "./output/digits"
