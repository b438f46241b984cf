"""DiffuAlignDETR with a ResNet-50: Align-DETR whose queries' boxes are denoised, as released."""

from projects.diffu_base import get_config
from projects.diffu_base.config.diffusion import add_diffusion

model = get_config("diffu_align_detr/models/aligndetr_r50").model

add_diffusion(model)
model.transformer.tgt_embed = None  # content queries are the encoder's best features
