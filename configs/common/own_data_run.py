"""Training on your own data in COCO's format: see configs/common/data/custom_coco.py for the keys that name them.

One epoch is (images / total_batch_size) iterations; the schedule stretches with train.max_iter.
"""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_schedule

_cfg = get_config("common/coco_run_ema")
_cfg.update(get_config("common/data/custom_coco"))
_cfg.data.mended_dir = "${train.output_dir}/data"
_cfg.train.eval_period = 2000
_cfg.train.checkpointer.period = 2000
set_schedule(_cfg, 12_000, [10_000])

globals().update(_cfg)
