"""The baseline: DINO, Swin-B, V3Det, 24 epochs. 42.0 AP in the paper."""

from .....configs.common.base_run import base_run
from ..models.dino_swin_base_384 import model

dataloader, lr_multiplier, _, optimizer, train = base_run(__file__, "v3det-swin-4scales-24ep.py")
train.output_dir = "./output/dino_swin_base_384_4scales_v3det_24ep"

model.num_classes = 13204
