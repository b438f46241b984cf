"""A run of a tiny model on data in COCO's format, as a user's config would be: tests name the data."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from projects.diffu_base import get_config
from projects.diffu_base.config.schedules import set_schedule
from tests.support.golden import TinyBackbone

_cfg = get_config("diffu_dino/custom-r50-4scales", "train.init_checkpoint=")

_cfg.model.backbone = L(TinyBackbone)()
_cfg.model.neck.input_shapes = {name: ShapeSpec(channels=c) for name, c in (("res3", 16), ("res4", 24), ("res5", 32))}
_cfg.model.embed_dim = 64
_cfg.model.transformer.encoder.update(num_layers=1, feedforward_dim=64)
_cfg.model.transformer.decoder.update(num_layers=2, feedforward_dim=64)
_cfg.model.num_queries = 30
_cfg.model.dn_number = 4
_cfg.model.sampler.seed = 0

_cfg.dataloader.train.mapper.augmentation_with_crop = None
_cfg.dataloader.train.mapper.augmentation[1].short_edge_length = (64, 80)
_cfg.dataloader.test.mapper.augmentation[0].short_edge_length = 64
_cfg.dataloader.train.total_batch_size = 2
_cfg.dataloader.train.num_workers = _cfg.dataloader.test.num_workers = 0

_cfg.train.eval_period = 0
_cfg.train.seed = 0
_cfg.train.model_ema.enabled = False
set_schedule(_cfg, 2, [1])

globals().update(_cfg)
