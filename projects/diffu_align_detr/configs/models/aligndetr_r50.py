"""Align-DETR with a ResNet-50: DINO with the mixed matcher, the IoU-aware class loss and rank weights."""

from detectron2.config import LazyCall as L

from projects.diffu_align_detr.modeling.losses import IABCELoss, RankWeights
from projects.diffu_align_detr.modeling.matcher import MixedMatcher, mixed_match_num
from projects.diffu_base import get_config

model = get_config("diffu_dino/models/dino_r50").model
model.criterion.matcher._target_ = MixedMatcher
model.criterion.matcher.match_num = L(mixed_match_num)(num_layers="${....transformer.decoder.num_layers}", most=2)
model.criterion.class_loss = L(IABCELoss)(alpha=0.25, gamma=2.0)
model.criterion.pair_weights = L(RankWeights)(tau=1.5, alpha="${..class_loss.alpha}")
