"""DiffuAlignDETR, ResNet-50, COCO, 24 epochs. 51.9 AP in the paper."""

from ....configs.common.data.coco_detr import dataloader
from ....configs.common.optim import AdamW as optimizer
from ....configs.common.schedules import lr_multiplier_24ep as lr_multiplier
from ....configs.common.train_ema import train
from .models.diffu_aligndetr_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/diffu_aligndetr_r50_4scales_24ep"
train.max_iter = 180000  # 24 epochs of 7,500 iterations
