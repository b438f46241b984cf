"""DiffuDINO with a ResNet-50: DINO whose queries' boxes are denoised, as released."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_base.config.diffusion import add_diffusion
from projects.diffu_base.modeling.criterion import ClassAgnosticTargets
from projects.diffu_base.modeling.losses import VarifocalLoss

model = get_config("diffu_dino/models/dino_r50").model

add_diffusion(model)
model.transformer.tgt_embed = None  # content queries are the encoder's best features
model.criterion.class_loss = L(VarifocalLoss)(alpha=0.25, gamma=2.0)
model.criterion.encoder_targets = L(ClassAgnosticTargets)()
