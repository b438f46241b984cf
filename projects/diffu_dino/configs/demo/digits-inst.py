"""The demo: a small DiffuDINO with masks on digit scenes, from scratch on two CPU cores."""

from detectron2.config import LazyCall as L

from projects.diffu_base.modeling.criterion import TargetsAsGiven

from .....configs.common.digits_demo import dataloader, digit_scenes, lr_multiplier, make_small, optimizer, train
from ..models.diffu_dino_inst_r50 import model

make_small(model)
model.criterion.encoder_targets = L(TargetsAsGiven)()  # as in the demo without masks
model.mask_branch.update(channels=48, num_convs=2)
model.sampler.seed = 0
dataloader.train.mapper.mask_on = True
train.output_dir = "./output/digits_inst"
