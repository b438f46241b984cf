"""The demo: a small DiffusionInst on digit scenes, boxes and masks from scratch on two CPU cores."""

from .....configs.common.digits_demo import dataloader, digit_scenes, make_small_resnet, optimizer, train
from .....configs.common.schedules import multistep
from ..models.diffusion_inst_r50 import model

make_small_resnet(model.backbone.bottom_up)
model.embed_dim = 96
model.roi_head.feedforward_dim = 256
model.roi_head.dynamic_conv.update(dynamic_dim=32, roi_size=5)
model.mask_branch.update(channels=48, num_convs=2)
model.num_heads = 3
model.num_classes = 10
model.num_proposals = 100
model.sampler.seed = 0
dataloader.train.mapper.mask_on = True
train.output_dir = "./output/digits_diffusion_inst"
# More than the DETR family's demo has: boxes of pure noise take longer to learn from than proposals.
train.max_iter = 4200
train.clip_grad.params.max_norm = 1.0
lr_multiplier = multistep(train.max_iter, [train.max_iter * 5 // 6], warmup_iters=50)
