"""A run of a tiny model on data in COCO's format, as a user's config would be: tests name the data."""

from detectron2.config import LazyCall as L
from detectron2.layers import ShapeSpec

from tests.support.golden import TinyBackbone

from ...configs.common.data.custom_coco import data, data_check, dataloader, num_classes  # noqa: F401
from ...configs.common.optim import AdamW as optimizer  # noqa: F401
from ...configs.common.schedules import multistep
from ...configs.common.train import train
from ...projects.diffu_dino.configs.models.diffu_dino_r50 import model

model.backbone = L(TinyBackbone)()
model.neck.input_shapes = {name: ShapeSpec(channels=c) for name, c in (("res3", 16), ("res4", 24), ("res5", 32))}
model.embed_dim = 64
model.transformer.encoder.update(num_layers=1, feedforward_dim=64)
model.transformer.decoder.update(num_layers=2, feedforward_dim=64)
model.num_queries = 30
model.dn_number = 4
model.num_classes = num_classes
model.sampler.seed = 0

dataloader.train.mapper.augmentation_with_crop = None
dataloader.train.mapper.augmentation[1].short_edge_length = (64, 80)
dataloader.test.mapper.augmentation[0].short_edge_length = 64
dataloader.train.total_batch_size = 2
dataloader.train.num_workers = dataloader.test.num_workers = 0

train.max_iter = 2
train.eval_period = 0
train.seed = 0
data.mended_dir = "${train.output_dir}/data"
lr_multiplier = multistep(train.max_iter, [1])
