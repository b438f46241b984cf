"""As custom_config.py, with a tiny DiffusionInst: a model with masks."""

from projects.diffu_base import get_config
from tests.projects.diffusion_inst.tiny import shrink

_cfg = get_config(__file__.replace("custom_inst_config", "custom_config"))
_cfg.model = get_config("diffusion_inst/models/diffusion_inst_r50").model
shrink(_cfg.model, num_classes=_cfg.num_classes)
_cfg.model.sampler.seed = 0
_cfg.dataloader.train.mapper.mask_on = True

globals().update(_cfg)
