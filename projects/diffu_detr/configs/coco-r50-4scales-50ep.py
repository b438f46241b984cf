"""DiffuDETR, ResNet-50, COCO, 50 epochs. 50.2 AP in the paper."""

from ....configs.common.data.coco_detr import dataloader
from ....configs.common.optim import AdamW as optimizer
from ....configs.common.schedules import lr_multiplier_50ep as lr_multiplier
from ....configs.common.train_ema import train
from .models.diffu_detr_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/diffu_detr_r50_4scales_50ep"
train.max_iter = 375000  # 50 epochs of 7,500 iterations
