"""The baseline: DINO, ResNet-50, V3Det, 24 epochs. 33.5 AP in the paper."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/v3det-r50-4scales-24ep")
_cfg.model = get_config("diffu_dino/models/dino_r50").model
_cfg.model.num_classes = 13204
_cfg.model.backbone.freeze_at = -1  # no stage frozen
_cfg.model.dn_number = 300
_cfg.model.criterion.weight_dict.loss_class = 2.0
_cfg.train.output_dir = "./output/dino_r50_4scales_v3det_24ep"

globals().update(_cfg)
