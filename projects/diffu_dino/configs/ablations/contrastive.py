"""Ablation: with a contrastive loss on the decoder's queries (needs the extra `contrastive`)."""

from detectron2.config import LazyCall as L

from projects.diffu_base import get_config
from projects.diffu_base.modeling.contrastive import ContrastiveLoss, metric_loss

_cfg = get_config("diffu_dino/dino-resnet/coco-r50-4scales-50ep")
_cfg.train.output_dir = "./output/ablations/diffu_dino_contrastive"
_cfg.model.criterion.contrastive = L(ContrastiveLoss)(
    metric=L(metric_loss)(name="SupConLoss", temperature=0.1), embed_dim="${...embed_dim}", projection_dim=128
)
_cfg.model.criterion.weight_dict.loss_contrastive = 0.1

globals().update(_cfg)
