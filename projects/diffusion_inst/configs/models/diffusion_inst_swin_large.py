"""DiffusionInst with a Swin-L, pre-trained on images of 224 pixels."""

from .....configs.common.backbones import swin_large_224, use_pyramid
from .diffusion_inst_r50 import model

use_pyramid(model, swin_large_224)
model.backbone.bottom_up.drop_path_rate = 0.3
