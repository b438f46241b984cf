"""DiffuDINO, Swin-B, V3Det, 24 epochs. 50.3 AP in the paper."""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import SWIN_BASE_384_WEIGHTS
from projects.diffu_base.config.schedules import set_v3det_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.dataloader = get_config("common/data/v3det_detr").dataloader
_cfg.model = get_config("diffu_dino/models/diffu_dino_swin_base_384").model
_cfg.model.num_classes = 13204
_cfg.train.init_checkpoint = SWIN_BASE_384_WEIGHTS
_cfg.train.output_dir = "./output/diffu_dino_swin_base_384_4scales_v3det_24ep"
_cfg.train.eval_period = 110000
set_v3det_schedule(_cfg)

globals().update(_cfg)
