"""Training on COCO from a ResNet-50 of ImageNet: data, optimizer and settings. A model and a schedule make it a run."""

from projects.diffu_base import get_config

dataloader = get_config("common/data/coco_detr").dataloader
optimizer = get_config("common/optim").optimizer
train = get_config("common/train").train
train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.clip_grad.enabled = True
