"""The demo: a small DiffusionInst on digit scenes, boxes and masks from scratch on two CPU cores."""

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_schedule
from projects.diffu_base.config.small import make_small_resnet

_cfg = get_config("common/digits_demo")
_cfg.model = get_config("diffusion_inst/models/diffusion_inst_r50").model
make_small_resnet(_cfg.model.backbone.bottom_up)
_cfg.model.embed_dim = 96
_cfg.model.roi_head.feedforward_dim = 256
_cfg.model.roi_head.dynamic_conv.update(dynamic_dim=32, roi_size=5)
_cfg.model.mask_branch.update(channels=48, num_convs=2)
_cfg.model.update(num_heads=3, num_classes=10, num_proposals=100)
_cfg.model.sampler.seed = 0
_cfg.dataloader.train.mapper.mask_on = True
_cfg.train.output_dir = "./output/digits_diffusion_inst"
_cfg.train.clip_grad.params.max_norm = 1.0
# More than the DETR family's demo has: boxes of pure noise take longer to learn from than proposals.
set_schedule(_cfg, 4200, [3500], warmup_iters=50)

globals().update(_cfg)
