"""DiffuDINO, ResNet-101, LVIS v1, 12 epochs. 32.5 AP in the paper."""

from .....configs.common.backbones import RESNET_101_WEIGHTS
from .....configs.common.data.lvis_detr import dataloader
from .....configs.common.optim import AdamW as optimizer
from .....configs.common.schedules import lr_multiplier_lvis_12ep as lr_multiplier
from .....configs.common.train_ema import train
from ..models.diffu_dino_r50 import model

train.init_checkpoint = RESNET_101_WEIGHTS
train.output_dir = "./output/diffu_dino_r101_4scales_lvis_12ep"
train.max_iter = 75000  # 12 epochs of 6,250 iterations
train.eval_period = 25000

model.num_classes = 1203
model.backbone.stages.depth = 101
