"""The baseline: Align-DETR, ResNet-50, COCO, 24 epochs, as in detrex. 51.4 AP in the paper."""

from ....configs.common.data.coco_detr import dataloader
from ....configs.common.optim import AdamW as optimizer
from ....configs.common.schedules import lr_multiplier_24ep as lr_multiplier
from ....configs.common.train import train
from .models.aligndetr_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/aligndetr_r50_4scales_24ep"
train.max_iter = 180000  # 24 epochs of 7,500 iterations
train.clip_grad.enabled = True
