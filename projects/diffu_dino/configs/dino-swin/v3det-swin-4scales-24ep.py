"""DiffuDINO, Swin-B, V3Det, 24 epochs. 50.3 AP in the paper."""

from .....configs.common.backbones import SWIN_BASE_384_WEIGHTS
from .....configs.common.data.v3det_detr import dataloader
from .....configs.common.optim import AdamW as optimizer
from .....configs.common.schedules import lr_multiplier_v3det_24ep as lr_multiplier
from .....configs.common.train_ema import train
from ..models.diffu_dino_swin_base_384 import model

train.init_checkpoint = SWIN_BASE_384_WEIGHTS
train.output_dir = "./output/diffu_dino_swin_base_384_4scales_v3det_24ep"
train.max_iter = 550000  # 24 epochs at batch 8
train.eval_period = 110000

model.num_classes = 13204
