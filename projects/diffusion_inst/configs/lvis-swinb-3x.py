"""DiffusionInst, Swin-B, LVIS v1, 270,000 iterations. 36.0 mask AP in the paper."""

from ....configs.common.backbones import SWIN_BASE_224_22K_WEIGHTS, swin_base_224, use_pyramid
from ....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "lvis-r50-3x.py")
train.init_checkpoint = SWIN_BASE_224_22K_WEIGHTS
train.output_dir = "./output/diffusion_inst_swinb_lvis_3x"
use_pyramid(model, swin_base_224)
model.backbone.bottom_up.drop_path_rate = 0.3
