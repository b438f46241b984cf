"""DiffuDINO with masks and an EfficientNet-Lite0, light enough for a machine without a GPU."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_base.config.light import make_light_detr
from projects.diffu_base.modeling.criterion import TargetsAsGiven

model = get_config("diffu_dino/models/diffu_dino_inst_r50").model

make_light_detr(model)
model.criterion.encoder_targets = L(TargetsAsGiven)()  # as in the model without masks
model.mask_branch.update(channels=64, num_convs=2)
