"""DiffusionDet's criterion: every head's predictions matched by SimOTA; with masks, DiffusionInst's."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.criterion import ClassLoss, LayerCriterion, average_over_ranks, gather_pairs
from projects.diffu_base.modeling.losses import MatchedPairs, giou_loss
from projects.diffu_base.modeling.mask_loss import MaskLoss
from projects.diffu_base.modeling.matcher import Indices, LayerMatcher, Predictions

from .losses import corner_l1_loss


@dataclass(frozen=True)
class MatchedLayer:
    """A head's predictions and what they are compared with.

    suffix: of its losses' names. indices: per image (query indices, target indices), the pairs one image after another.
    count: pairs, their mean over the processes, at least 1.
    """

    suffix: str
    predictions: Predictions
    pairs: MatchedPairs
    indices: Indices
    count: Tensor


class DynamicKCriterion(LayerCriterion):
    """Losses of heads in series: class, L1 of corners and GIoU, each divided by the head's number of matched queries.

    Args:
        num_classes: K.
        num_layers: heads.
        matcher: has `match_layers`, see `SimOTAMatcher`.
        class_loss: from logits (B, Q, K) and `MatchedPairs` to a sum.
        weight_dict: weight per kind of loss (`loss_class`, `loss_bbox`, `loss_giou`).
    """

    def __init__(
        self,
        *,
        num_classes: int,
        num_layers: int,
        matcher: LayerMatcher,
        class_loss: ClassLoss,
        weight_dict: Mapping[str, float],
    ):
        super().__init__(weight_dict, num_layers)
        self.num_classes = num_classes
        self.matcher = matcher
        self.class_loss = class_loss

    def forward(self, outputs: dict[str, Any], targets: list[Target]) -> dict[str, Tensor]:
        """Unweighted scalar losses by name; every one is connected to the predictions, without targets too.

        Args:
            outputs: `pred_logits` (B, Q, K) and `pred_boxes` (B, Q, 4) normalized cxcywh of the last head, the same of
                the others in the list `aux_outputs`; more for subclasses.
            targets: per image `labels` (n,) int64 and `boxes` (n, 4) normalized cxcywh; more for subclasses.
        """
        return self.box_losses(self.match(outputs, targets))

    def match(self, outputs: dict[str, Any], targets: list[Target]) -> list[MatchedLayer]:
        """Every head's predictions with their pairs, the last head first."""
        layers = {"": outputs} | {f"_{i}": aux for i, aux in enumerate(outputs["aux_outputs"])}
        indices = self.matcher.match_layers([(predictions, targets) for predictions in layers.values()])
        matched = []
        for (suffix, predictions), of_layer in zip(layers.items(), indices, strict=True):
            pairs = gather_pairs(predictions["pred_boxes"].float(), targets, of_layer)
            count = average_over_ranks(len(pairs.query), pairs.query.device)
            matched.append(MatchedLayer(suffix, predictions, pairs, of_layer, count))
        return matched

    def box_losses(self, layers: list[MatchedLayer]) -> dict[str, Tensor]:
        """The losses of classes and boxes."""
        losses = {}
        for layer in layers:
            sums = {
                "loss_class": self.class_loss(layer.predictions["pred_logits"], layer.pairs),
                "loss_bbox": corner_l1_loss(layer.pairs),
                "loss_giou": giou_loss(layer.pairs),
            }
            losses.update({name + layer.suffix: loss / layer.count for name, loss in sums.items()})
        return losses


class EveryHead:
    """The masks of every head are supervised."""

    def __call__(self, suffix: str) -> bool:
        return True


class LastHead:
    """The masks of the last head alone are supervised."""

    def __call__(self, suffix: str) -> bool:
        return suffix == ""


class MaskCriterion(DynamicKCriterion):
    """`DynamicKCriterion` with `loss_mask` on the heads' filters.

    Args:
        mask_loss: see `MaskLoss`.
        supervised: from the suffix of a head's losses to whether its masks are supervised, see `EveryHead`.
        kwargs: see `DynamicKCriterion`.
    """

    def __init__(self, *, mask_loss: MaskLoss, supervised: Callable[[str], bool], **kwargs: Any):
        super().__init__(**kwargs)
        self.mask_loss = mask_loss
        self.supervised = supervised

    def forward(self, outputs: dict[str, Any], targets: list[Target]) -> dict[str, Tensor]:
        """Unweighted losses, as `DynamicKCriterion.forward`.

        Args:
            outputs: also `filters` (B, Q, F) of every head, and `mask_feature` (B, C, H, W).
            targets: also `masks` (n, h, w) bool, at the mask feature's resolution, of the image before padding.
        """
        layers = self.match(outputs, targets)
        losses = self.box_losses(layers)
        for layer in layers:
            losses["loss_mask" + layer.suffix] = self.layer_mask_loss(layer, outputs["mask_feature"], targets)
        return losses

    def layer_mask_loss(self, layer: MatchedLayer, mask_feature: Tensor, targets: list[Target]) -> Tensor:
        """The mean over a head's pairs; 0, yet connected, for a head whose masks are not supervised."""
        filters = layer.predictions["filters"]
        if not self.supervised(layer.suffix):
            return 0.0 * filters.sum()
        return self.mask_loss.of_queries(filters, mask_feature, targets, layer.indices) / layer.count
