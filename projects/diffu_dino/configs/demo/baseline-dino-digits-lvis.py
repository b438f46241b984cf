"""The baseline of the long-tailed demo: a small DINO."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/demo/baseline-dino-digits")
_cfg.update(get_config("common/data/digit_scenes_lvis"))
_cfg.train.output_dir = "./output/digits_lvis_dino"

globals().update(_cfg)
