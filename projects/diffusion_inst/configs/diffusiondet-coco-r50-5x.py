"""DiffusionDet, ResNet-50, COCO, 60 epochs: DiffusionInst's box part."""

from ....configs.common.data.coco_detr import dataloader
from ....configs.common.optim import AdamW as optimizer
from ....configs.common.schedules import lr_multiplier_5x as lr_multiplier
from ....configs.common.train import train
from .models.diffusion_det_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/diffusiondet_r50_coco_5x"
train.max_iter = 450_000  # 60 epochs of 7,500 iterations
train.eval_period = 30_000
train.clip_grad.enabled = True
train.clip_grad.params.max_norm = 1.0
optimizer.lr = 2.5e-5  # at batch 16
optimizer.params.update(backbone_lr_factor=1.0, weight_decay_norm=None)
dataloader.train.dataset.filter_empty = False
