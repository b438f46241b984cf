"""The baseline: DINO, ResNet-101, COCO, 12 epochs, as in detrex. 50.0 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import RESNET_101_WEIGHTS

_cfg = get_config("diffu_dino/dino-resnet/baseline-dino-r50-4scales-12ep")
_cfg.model.backbone.stages.depth = 101
_cfg.train.init_checkpoint = RESNET_101_WEIGHTS
_cfg.train.output_dir = "./output/dino_r101_4scales_12ep"

globals().update(_cfg)
