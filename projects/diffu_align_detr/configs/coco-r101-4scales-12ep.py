"""DiffuAlignDETR, ResNet-101, COCO, 12 epochs. 51.7 AP in the paper."""

from ....configs.common.backbones import RESNET_101_WEIGHTS
from ....configs.common.data.coco_detr import dataloader
from ....configs.common.optim import AdamW as optimizer
from ....configs.common.schedules import lr_multiplier_12ep as lr_multiplier
from ....configs.common.train_ema import train
from .models.diffu_aligndetr_r50 import model

train.init_checkpoint = RESNET_101_WEIGHTS
train.output_dir = "./output/diffu_aligndetr_r101_4scales_12ep"
train.max_iter = 90000  # 12 epochs of 7,500 iterations
train.model_ema.decay = 0.9997

model.backbone.stages.depth = 101
