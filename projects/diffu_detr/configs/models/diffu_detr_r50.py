"""DiffuDETR with a ResNet-50: Deformable DETR whose queries' boxes are denoised (the authors released no code)."""

from detectron2.config import LazyCall as L
from torch import nn

from layers_diffu_detr.bbox_embedd import build_ref_point_head
from projects.diffu_base import get_config
from projects.diffu_base.config.diffusion import add_diffusion

model = get_config("diffu_detr/models/deformable_detr_r50").model

add_diffusion(model)
# The queries' content is learned, their positions follow the boxes from layer to layer.
model.transformer.tgt_embed = L(nn.Embedding)(num_embeddings="${...num_queries}", embedding_dim="${...embed_dim}")
model.transformer.pos_trans = None
model.transformer.decoder.ref_point_head = L(build_ref_point_head)(embed_dim="${....embed_dim}")
