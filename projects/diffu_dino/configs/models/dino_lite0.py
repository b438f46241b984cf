"""DINO with an EfficientNet-Lite0, light enough for a machine without a GPU."""

from projects.diffu_base import get_config
from projects.diffu_base.config.light import make_light_detr

model = get_config("diffu_dino/models/dino_r50").model

make_light_detr(model)
