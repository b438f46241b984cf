"""The baseline: DINO, ResNet-101, LVIS v1, 12 epochs. 30.9 AP in the paper."""

from .....configs.common.base_run import base_run
from ..models.dino_r50 import model

dataloader, lr_multiplier, _, optimizer, train = base_run(__file__, "lvis-r101-4scales-12ep.py")
train.output_dir = "./output/dino_r101_4scales_lvis_12ep"

model.num_classes = 1203
model.backbone.stages.depth = 101
