"""DiffusionInst, ResNet-101, COCO, 60 epochs. 41.0 mask AP in the paper, 41.1 with 4 steps."""

from ....configs.common.backbones import RESNET_101_WEIGHTS
from ....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "coco-r50-5x.py")
train.init_checkpoint = RESNET_101_WEIGHTS
train.output_dir = "./output/diffusion_inst_r101_coco_5x"
model.backbone.bottom_up.stages.depth = 101
