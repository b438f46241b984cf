"""The demo's data with a longer schedule, for comparisons of recipes."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_schedule

_cfg = get_config("common/digits_demo")
set_schedule(_cfg, 2200, [1833], warmup_iters=50)

globals().update(_cfg)
