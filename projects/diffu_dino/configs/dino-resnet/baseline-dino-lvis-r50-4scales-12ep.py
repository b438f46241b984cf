"""The baseline: DINO, ResNet-50, LVIS v1, 12 epochs. 26.5 AP in the paper."""

from .....configs.common.base_run import base_run
from ..models.dino_r50 import model

dataloader, lr_multiplier, _, optimizer, train = base_run(__file__, "lvis-r50-4scales-12ep.py")
train.output_dir = "./output/dino_r50_4scales_lvis_12ep"

model.num_classes = 1203
model.backbone.freeze_at = -1  # no stage frozen
model.dn_number = 300
model.criterion.weight_dict.loss_class = 2.0
