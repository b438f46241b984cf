"""DiffusionInst with a Swin-L, pre-trained on images of 224 pixels."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import swin, use_pyramid

model = get_config("diffusion_inst/models/diffusion_inst_r50").model
use_pyramid(model, swin("large", image_size=224, drop_path_rate=0.3))
