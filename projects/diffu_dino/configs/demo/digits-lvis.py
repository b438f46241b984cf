"""The demo on digit scenes with a long tail, in LVIS's format: APr, APc and APf beside AP."""

from projects.diffu_base import get_config

_cfg = get_config("diffu_dino/demo/digits")
_cfg.update(get_config("common/data/digit_scenes_lvis"))
_cfg.train.output_dir = "./output/digits_lvis"

globals().update(_cfg)
