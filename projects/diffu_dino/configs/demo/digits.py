"""The demo: a small DiffuDINO on digit scenes, from scratch in minutes on two CPU cores."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_base.config.small import make_small
from projects.diffu_base.modeling.criterion import TargetsAsGiven

_cfg = get_config("common/digits_demo")
_cfg.model = get_config("diffu_dino/models/diffu_dino_r50").model
make_small(_cfg.model)
_cfg.model.criterion.encoder_targets = L(TargetsAsGiven)()  # teaches the new backbone the classes sooner
_cfg.model.sampler.seed = 0
_cfg.train.output_dir = "./output/digits"

globals().update(_cfg)
