"""DiffusionInst, Swin-L, COCO, 60 epochs. 47.8 mask AP in the paper, with 1 step and with 4."""

from ....configs.common.backbones import SWIN_LARGE_224_22K_WEIGHTS
from ....configs.common.base_run import base_run
from .models.diffusion_inst_swin_large import model

dataloader, lr_multiplier, _, optimizer, train = base_run(__file__, "coco-r50-5x.py")
train.init_checkpoint = SWIN_LARGE_224_22K_WEIGHTS
train.output_dir = "./output/diffusion_inst_swinl_coco_5x"
