"""Training on COCO as the released diffusion models had it: with averaged weights, which are evaluated."""

from projects.diffu_base import get_config

_cfg = get_config("common/coco_run")
_cfg.train.model_ema.update(enabled=True, use_ema_weights_for_eval_only=True)

globals().update(_cfg)
