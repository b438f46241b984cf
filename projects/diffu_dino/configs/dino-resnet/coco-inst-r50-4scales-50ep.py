"""DiffuDINO with masks, ResNet-50, COCO, 50 epochs. Beyond the papers."""

from .....configs.common.base_run import base_run
from ..models.diffu_dino_inst_r50 import model

dataloader, lr_multiplier, _, optimizer, train = base_run(__file__, "coco-r50-4scales-50ep.py")
train.output_dir = "./output/diffu_dino_inst_r50_4scales_50ep"
dataloader.train.mapper.mask_on = True
model.backbone.freeze_at = -1  # no stage frozen
model.dn_number = 300
model.criterion.weight_dict.loss_class = 2.0
