"""The 50-epoch run without diffusion: DINO with DiffuDINO's schedule and settings. No published figure."""

from .....configs.common.data.coco_detr import dataloader
from .....configs.common.optim import AdamW as optimizer
from .....configs.common.schedules import lr_multiplier_50ep as lr_multiplier
from .....configs.common.train_ema import train
from ..models.dino_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/dino_r50_4scales_50ep"
train.max_iter = 375000  # 50 epochs of 7,500 iterations
train.eval_period = 20000

model.backbone.freeze_at = -1  # no stage frozen
model.dn_number = 300
model.criterion.weight_dict.loss_class = 2.0
