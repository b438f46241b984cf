"""As custom_config.py, with a tiny DiffusionInst: a model with masks."""

from tests.projects.diffusion_inst.tiny import shrink

from ...projects.diffusion_inst.configs.models.diffusion_inst_r50 import model
from .custom_config import data, data_check, dataloader, lr_multiplier, num_classes, optimizer, train  # noqa: F401

shrink(model, num_classes=num_classes)
model.sampler.seed = 0
dataloader.train.mapper.mask_on = True
