"""DiffusionInst with a Swin-B, pre-trained on images of 224 pixels."""

from .....configs.common.backbones import swin_base_224, use_pyramid
from .diffusion_inst_r50 import model

use_pyramid(model, swin_base_224)
model.backbone.bottom_up.drop_path_rate = 0.3
