"""DiffuDINO, ResNet-50, COCO, 50 epochs. 51.9 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_coco_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.model = get_config("diffu_dino/models/diffu_dino_r50").model
_cfg.model.backbone.freeze_at = -1  # no stage frozen
_cfg.model.dn_number = 300
_cfg.model.criterion.weight_dict.loss_class = 2.0
_cfg.train.output_dir = "./output/diffu_dino_r50_4scales_50ep"
_cfg.train.eval_period = 20000
set_coco_schedule(_cfg, epochs=50)

globals().update(_cfg)
