"""DiffuDINO with a Swin-B, pre-trained on images of 384 pixels."""

from .....configs.common.backbones import swin_base_384, use_backbone
from .diffu_dino_r50 import model

use_backbone(model, swin_base_384)
