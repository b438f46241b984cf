"""DiffuDINO, ResNet-101, LVIS v1, 12 epochs. 32.5 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import RESNET_101_WEIGHTS

_cfg = get_config("diffu_dino/dino-resnet/lvis-r50-4scales-12ep")
_cfg.model = get_config("diffu_dino/models/diffu_dino_r50").model
_cfg.model.num_classes = 1203
_cfg.model.backbone.stages.depth = 101
_cfg.train.init_checkpoint = RESNET_101_WEIGHTS
_cfg.train.output_dir = "./output/diffu_dino_r101_4scales_lvis_12ep"

globals().update(_cfg)
