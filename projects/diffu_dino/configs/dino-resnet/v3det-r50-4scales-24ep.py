"""DiffuDINO, ResNet-50, V3Det, 24 epochs. 35.7 AP in the paper."""

from .....configs.common.data.v3det_detr import dataloader
from .....configs.common.optim import AdamW as optimizer
from .....configs.common.schedules import lr_multiplier_v3det_24ep as lr_multiplier
from .....configs.common.train_ema import train
from ..models.diffu_dino_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/diffu_dino_r50_4scales_v3det_24ep"
train.max_iter = 550000  # 24 epochs at batch 8
train.eval_period = 110000

model.num_classes = 13204
model.backbone.freeze_at = -1  # no stage frozen
model.dn_number = 300
model.criterion.weight_dict.loss_class = 2.0
