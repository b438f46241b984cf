"""The baseline: DINO, ResNet-101, LVIS v1, 12 epochs. 30.9 AP in the paper."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/lvis-r101-4scales-12ep")
_cfg.model = get_config("diffu_dino/models/dino_r50").model
_cfg.model.num_classes = 1203
_cfg.model.backbone.stages.depth = 101
_cfg.train.output_dir = "./output/dino_r101_4scales_lvis_12ep"

globals().update(_cfg)
