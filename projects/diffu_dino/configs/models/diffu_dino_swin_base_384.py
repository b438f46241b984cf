"""DiffuDINO with a Swin-B, pre-trained on images of 384 pixels."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import swin, use_backbone

model = get_config("diffu_dino/models/diffu_dino_r50").model

use_backbone(model, swin("base", image_size=384))
