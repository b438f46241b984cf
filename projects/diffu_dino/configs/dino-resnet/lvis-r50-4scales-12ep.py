"""DiffuDINO, ResNet-50, LVIS v1, 12 epochs. 28.9 AP in the paper."""

from .....configs.common.data.lvis_detr import dataloader
from .....configs.common.optim import AdamW as optimizer
from .....configs.common.schedules import lr_multiplier_lvis_12ep as lr_multiplier
from .....configs.common.train_ema import train
from ..models.diffu_dino_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/diffu_dino_r50_4scales_lvis_12ep"
train.max_iter = 75000  # 12 epochs of 6,250 iterations
train.eval_period = 25000

model.num_classes = 1203
model.backbone.freeze_at = -1  # no stage frozen
model.dn_number = 300
model.criterion.weight_dict.loss_class = 2.0
