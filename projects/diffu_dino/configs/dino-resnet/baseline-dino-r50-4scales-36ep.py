"""The baseline: DINO, ResNet-50, COCO, 36 epochs. 50.9 AP in the paper."""

from .....configs.common.data.coco_detr import dataloader
from .....configs.common.optim import AdamW as optimizer
from .....configs.common.schedules import lr_multiplier_36ep as lr_multiplier
from .....configs.common.train import train
from ..models.dino_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/dino_r50_4scales_36ep"
train.max_iter = 270000  # 36 epochs of 7,500 iterations
train.clip_grad.enabled = True
