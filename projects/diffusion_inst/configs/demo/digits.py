"""The demo: a small DiffusionInst on digit scenes, boxes and masks from scratch on two CPU cores."""

from .....configs.common.digits_demo import (
    dataloader,
    digit_scenes,
    lr_multiplier,
    make_small_resnet,
    optimizer,
    train,
)
from ..models.diffusion_inst_r50 import model

make_small_resnet(model.backbone.bottom_up)
model.embed_dim = 128
model.roi_head.feedforward_dim = 256
model.roi_head.dynamic_conv.dynamic_dim = 32
model.mask_branch.channels = 64
model.mask_branch.num_convs = 2
model.num_heads = 3
model.num_classes = 10
model.num_proposals = 100
model.sampler.seed = 0
dataloader.train.mapper.mask_on = True
train.output_dir = "./output/digits_diffusion_inst"
