"""DiffusionDet's criterion, which matches every head's predictions by SimOTA, and DiffusionInst's, which adds masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor

from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.criterion import ClassLoss, LayerCriterion, average_over_ranks, gather_pairs
from projects.diffu_base.modeling.losses import MatchedPairs, giou_loss
from projects.diffu_base.modeling.mask_loss import MaskLoss
from projects.diffu_base.modeling.matcher import Indices, LayerMatcher, LayerPredictions
from projects.diffu_base.modeling.supervised_layer import LAST, SupervisedLayer, predictions_by_layer

from .losses import corner_l1_loss


@dataclass(frozen=True)
class MatchedHead:
    """A head's predictions and the targets that they are compared with.

    Attributes:
        layer: says which head it is; it names the losses.
        predictions: the head's.
        pairs: its pairs of queries and targets, one image's after another's.
        indices: the same pairs by image.
        count: the number of pairs, averaged over the processes, but at least 1.
    """

    layer: SupervisedLayer
    predictions: LayerPredictions
    pairs: MatchedPairs
    indices: Indices
    count: Tensor


class DynamicKCriterion(LayerCriterion):
    """Losses of heads in series: class, L1 of corners, GIoU, each divided by the head's number of matched queries.

    Args:
        num_classes: K.
        num_layers: number of heads.
        matcher: assigns targets to predictions, see `SimOTAMatcher`.
        class_loss: (logits (B, Q, K), `MatchedPairs`) -> sum of the class loss.
        weight_dict: weights of `loss_class`, `loss_bbox` and `loss_giou`.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        num_layers: int,
        matcher: LayerMatcher,
        class_loss: ClassLoss,
        weight_dict: Mapping[str, float],
    ) -> None:
        super().__init__(weight_dict, num_layers)
        self.num_classes = num_classes
        self.matcher = matcher
        self.class_loss = class_loss

    def forward(self, outputs: dict[str, Any], targets: list[Target]) -> dict[str, Tensor]:
        """Unweighted scalar losses by name. Each is connected to the predictions, even if there are no targets.

        Args:
            outputs: `pred_logits` (B, Q, K) and `pred_boxes` (B, Q, 4) normalized cxcywh of the last head, and in
                `aux_outputs` a list of the same of the other heads.
            targets: per image `labels` (n,) int64 and `boxes` (n, 4) normalized cxcywh.
        """
        return self.box_losses(self.match(outputs, targets))

    def match(self, outputs: dict[str, Any], targets: list[Target]) -> list[MatchedHead]:
        """Match every head's predictions; the last head comes first."""
        layers = predictions_by_layer(outputs)
        indices = self.matcher.match_layers([(predictions, targets) for predictions in layers.values()])
        matched = []
        for (layer, predictions), of_layer in zip(layers.items(), indices, strict=True):
            pairs = gather_pairs(predictions["pred_boxes"].float(), targets, of_layer)
            count = average_over_ranks(len(pairs.query), pairs.query.device)
            matched.append(MatchedHead(layer, predictions, pairs, of_layer, count))
        return matched

    def box_losses(self, heads: list[MatchedHead]) -> dict[str, Tensor]:
        """The losses of classes and boxes."""
        losses = {}
        for head in heads:
            sums = {
                "loss_class": self.class_loss(head.predictions["pred_logits"], head.pairs),
                "loss_bbox": corner_l1_loss(head.pairs),
                "loss_giou": giou_loss(head.pairs),
            }
            losses.update({head.layer.name(loss): value / head.count for loss, value in sums.items()})
        return losses


class SupervisedHeads(Protocol):
    """Decides whether the masks of a head are supervised."""

    def __call__(self, head: SupervisedLayer) -> bool: ...


class EveryHead:
    """The masks of every head are supervised."""

    def __call__(self, head: SupervisedLayer) -> bool:
        """See `SupervisedHeads`."""
        return True


class LastHead:
    """The masks of the last head alone are supervised."""

    def __call__(self, head: SupervisedLayer) -> bool:
        """See `SupervisedHeads`."""
        return head == LAST


class MaskCriterion(DynamicKCriterion):
    """`DynamicKCriterion` with `loss_mask`, on the masks that the heads' filters make.

    Args:
        mask_loss: see `MaskLoss`.
        supervised: decides which heads' masks are supervised.
        kwargs: see `DynamicKCriterion`.
    """

    def __init__(self, *, mask_loss: MaskLoss, supervised: SupervisedHeads, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_loss = mask_loss
        self.supervised = supervised

    def losses_of(self, layer: SupervisedLayer) -> tuple[str, ...]:
        """The kinds of loss of the base class, and `loss_mask`."""
        return (*super().losses_of(layer), "loss_mask")

    def forward(self, outputs: dict[str, Any], targets: list[Target]) -> dict[str, Tensor]:
        """Unweighted scalar losses by name: those of `DynamicKCriterion.forward`, and those of the masks.

        Args:
            outputs: also `filters` (B, Q, F) of every head, and `mask_feature` (B, C, H, W).
            targets: also `masks` (n, h, w) bool: the image's masks, without padding, in the mask feature's resolution.
        """
        heads = self.match(outputs, targets)
        losses = self.box_losses(heads)
        for head in heads:
            losses[head.layer.name("loss_mask")] = self.head_mask_loss(head, outputs["mask_feature"], targets)
        return losses

    def head_mask_loss(self, head: MatchedHead, mask_feature: Tensor, targets: list[Target]) -> Tensor:
        """The mean over the head's pairs. If the head's masks are not supervised, it is 0, connected to the filters."""
        filters = head.predictions["filters"]
        if not self.supervised(head.layer):
            return 0.0 * filters.sum()
        return self.mask_loss.of_queries(filters, mask_feature, targets, head.indices) / head.count
