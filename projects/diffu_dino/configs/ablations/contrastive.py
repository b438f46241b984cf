"""Ablation: with a contrastive loss on the decoder's queries (needs the extra `contrastive`)."""

from detectron2.config import LazyCall as L

from projects.diffu_base.modeling.contrastive import ContrastiveLoss, metric_loss

from .....configs.common.base_run import base_run

dataloader, lr_multiplier, model, optimizer, train = base_run(__file__, "../dino-resnet/coco-r50-4scales-50ep.py")
train.output_dir = "./output/ablations/diffu_dino_contrastive"

model.criterion.contrastive = L(ContrastiveLoss)(
    metric=L(metric_loss)(name="SupConLoss", temperature=0.1), embed_dim="${...embed_dim}", projection_dim=128
)
model.criterion.weight_dict.loss_contrastive = 0.1
