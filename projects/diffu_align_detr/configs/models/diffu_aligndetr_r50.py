"""DiffuAlignDETR with a ResNet-50: Align-DETR whose queries' boxes are denoised, as released."""

from .....configs.common.diffusion import add_diffusion
from .aligndetr_r50 import model

add_diffusion(model)
model.transformer.tgt_embed = None  # content queries are the encoder's best features
