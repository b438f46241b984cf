"""DiffuDINO, ResNet-50, V3Det, 24 epochs. 35.7 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_v3det_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.dataloader = get_config("common/data/v3det_detr").dataloader
_cfg.model = get_config("diffu_dino/models/diffu_dino_r50").model
_cfg.model.num_classes = 13204
_cfg.model.backbone.freeze_at = -1  # no stage frozen
_cfg.model.dn_number = 300
_cfg.model.criterion.weight_dict.loss_class = 2.0
_cfg.train.output_dir = "./output/diffu_dino_r50_4scales_v3det_24ep"
_cfg.train.eval_period = 110000
set_v3det_schedule(_cfg)

globals().update(_cfg)
