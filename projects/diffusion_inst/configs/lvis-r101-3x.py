"""DiffusionInst, ResNet-101, LVIS v1, 270,000 iterations. 27.0 mask AP in the paper."""

from ....configs.common.backbones import RESNET_101_WEIGHTS
from ....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "lvis-r50-3x.py")
train.init_checkpoint = RESNET_101_WEIGHTS
train.output_dir = "./output/diffusion_inst_r101_lvis_3x"
model.backbone.bottom_up.stages.depth = 101
