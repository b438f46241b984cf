"""The 50-epoch run without diffusion: DINO with DiffuDINO's schedule and settings. No published figure."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.model = get_config("diffu_dino/models/dino_r50").model
_cfg.model.backbone.freeze_at = -1  # no stage frozen
_cfg.model.dn_number = 300
_cfg.model.criterion.weight_dict.loss_class = 2.0
_cfg.train.output_dir = "./output/dino_r50_4scales_50ep"

globals().update(_cfg)
