"""DINO with a ResNet-50: Deformable DETR with denoising queries, wider layers, and other queries and proposals."""

from detectron2.config import LazyCall as L
from torch import nn

from layers_diffu_detr.bbox_embedd import LookForwardTwice, build_ref_point_head
from projects.diffu_base import get_config
from projects.diffu_base.modeling.criterion import TargetsAsGiven
from projects.diffu_detr.modeling.proposals import BestClassScore, ChosenTokens
from projects.diffu_dino.modeling.criterion import DINOCriterion
from projects.diffu_dino.modeling.dino import DiffuDINO

model = get_config("diffu_detr/models/deformable_detr_r50").model
model._target_ = DiffuDINO
model.num_queries = 900
model.dn_number = 100
model.label_noise_ratio = 0.5
model.box_noise_scale = 1.0

model.transformer.encoder.update(feedforward_dim=2048, attn_dropout=0.0, ffn_dropout=0.0)
model.transformer.decoder.update(
    feedforward_dim=2048,
    attn_dropout=0.0,
    ffn_dropout=0.0,
    norm=L(nn.LayerNorm)(normalized_shape="${....embed_dim}"),
    ref_point_head=L(build_ref_point_head)(embed_dim="${....embed_dim}"),
    look_forward=L(LookForwardTwice)(),
)
model.transformer.ranking = L(BestClassScore)()
model.transformer.supervision = L(ChosenTokens)()
model.transformer.pos_trans = None
# The queries' content is learned, their positions follow the boxes from layer to layer.
model.transformer.tgt_embed = L(nn.Embedding)(num_embeddings="${...num_queries}", embedding_dim="${...embed_dim}")

model.criterion._target_ = DINOCriterion
model.criterion.encoder_targets = L(TargetsAsGiven)()
model.criterion.weight_dict.update(loss_class_dn=1.0, loss_bbox_dn=5.0, loss_giou_dn=2.0)
