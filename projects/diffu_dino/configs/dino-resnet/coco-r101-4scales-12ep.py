"""DiffuDINO, ResNet-101, COCO, 12 epochs. 51.2 AP in the paper."""

from .....configs.common.backbones import RESNET_101_WEIGHTS
from .....configs.common.data.coco_detr import dataloader
from .....configs.common.optim import AdamW as optimizer
from .....configs.common.schedules import lr_multiplier_12ep as lr_multiplier
from .....configs.common.train_ema import train
from ..models.diffu_dino_r50 import model

train.init_checkpoint = RESNET_101_WEIGHTS
train.output_dir = "./output/diffu_dino_r101_4scales_12ep"
train.max_iter = 90000  # 12 epochs of 7,500 iterations

model.backbone.stages.depth = 101
