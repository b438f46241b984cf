"""DiffuDINO, ResNet-50, on your own data in COCO's format: see configs/common/data/custom_coco.py for the keys.

One epoch is (images / total_batch_size) iterations; the schedule stretches with train.max_iter.
"""

from ....configs.common.data.custom_coco import data, data_check, dataloader, num_classes
from ....configs.common.optim import AdamW as optimizer
from ....configs.common.schedules import multistep
from ....configs.common.train_ema import train
from .models.diffu_dino_r50 import model

train.init_checkpoint = "detectron2://ImageNetPretrained/torchvision/R-50.pkl"
train.output_dir = "./output/custom_r50_4scales"
train.max_iter = 12000
train.eval_period = 2000
train.checkpointer.period = 2000
lr_multiplier = multistep(train.max_iter, [10000])

data.mended_dir = "${train.output_dir}/data"
model.num_classes = num_classes
