"""The baseline: DINO, ResNet-50, V3Det, 24 epochs. 33.5 AP in the paper."""

from .....configs.common.base_run import base_run
from ..models.dino_r50 import model

dataloader, lr_multiplier, _, optimizer, train = base_run(__file__, "v3det-r50-4scales-24ep.py")
train.output_dir = "./output/dino_r50_4scales_v3det_24ep"

model.num_classes = 13204
model.backbone.freeze_at = -1  # no stage frozen
model.dn_number = 300
model.criterion.weight_dict.loss_class = 2.0
