"""DiffuDINO with an EfficientNet-Lite0, light enough for a machine without a GPU."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_base.config.light import make_light_detr
from projects.diffu_base.modeling.criterion import TargetsAsGiven

model = get_config("diffu_dino/models/diffu_dino_r50").model

make_light_detr(model)
model.criterion.encoder_targets = L(TargetsAsGiven)()  # proposals learn the classes sooner
