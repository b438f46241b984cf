"""DiffusionInst, Swin-B, COCO, 60 epochs. 46.6 mask AP in the paper, 46.8 with 4 steps in the authors' table."""

from ....configs.common.backbones import SWIN_BASE_224_22K_WEIGHTS
from ....configs.common.base_run import base_run
from .models.diffusion_inst_swin_base import model

dataloader, lr_multiplier, _, optimizer, train = base_run(__file__, "coco-r50-5x.py")
train.init_checkpoint = SWIN_BASE_224_22K_WEIGHTS
train.output_dir = "./output/diffusion_inst_swinb_coco_5x"
