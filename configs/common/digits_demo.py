"""The demo's data and schedule: a small model of any family is trained from scratch on two CPU cores in minutes."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.update(get_config("common/data/digit_scenes"))
_cfg.train.update(init_checkpoint="", eval_period=450, seed=0)
_cfg.train.model_ema.decay = 0.99
_cfg.optimizer.lr = 5e-4
_cfg.optimizer.params.backbone_lr_factor = 1.0  # the backbone starts from random weights, like everything else
set_schedule(_cfg, 1800, [1500], warmup_iters=50)

globals().update(_cfg)
