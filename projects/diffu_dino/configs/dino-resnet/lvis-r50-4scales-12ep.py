"""DiffuDINO, ResNet-50, LVIS v1, 12 epochs. 28.9 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_lvis_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.dataloader = get_config("common/data/lvis_detr").dataloader
_cfg.model = get_config("diffu_dino/models/diffu_dino_r50").model
_cfg.model.num_classes = 1203
_cfg.model.backbone.freeze_at = -1  # no stage frozen
_cfg.model.dn_number = 300
_cfg.model.criterion.weight_dict.loss_class = 2.0
_cfg.train.output_dir = "./output/diffu_dino_r50_4scales_lvis_12ep"
_cfg.train.eval_period = 25000
set_lvis_schedule(_cfg, epochs=12)

globals().update(_cfg)
