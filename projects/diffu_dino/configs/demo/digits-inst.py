"""The demo: a small DiffuDINO with masks on digit scenes, from scratch on two CPU cores."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_base.config.small import make_small
from projects.diffu_base.modeling.criterion import TargetsAsGiven

_cfg = get_config("common/digits_demo")
_cfg.model = get_config("diffu_dino/models/diffu_dino_inst_r50").model
make_small(_cfg.model)
_cfg.model.criterion.encoder_targets = L(TargetsAsGiven)()  # as in the demo without masks
_cfg.model.mask_branch.update(channels=48, num_convs=2)
_cfg.model.sampler.seed = 0
_cfg.dataloader.train.mapper.mask_on = True
_cfg.train.output_dir = "./output/digits_inst"

globals().update(_cfg)
