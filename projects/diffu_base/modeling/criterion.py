"""The loss of a DETR: match every layer's predictions with the ground truths, compare the matched pairs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from layers_diffu_detr.targets import Target

from .losses import MatchedPairs, giou_loss, l1_loss
from .matcher import Indices, Predictions

ClassLoss = Callable[[Tensor, MatchedPairs], Tensor]
PairWeights = Callable[[Tensor, MatchedPairs], Tensor]

_CONTRASTIVE = "loss_contrastive"  # of the last layer alone


class ClassAgnosticTargets:
    """Targets of one class: the proposals learn what is an object, not which (Deformable DETR, released DiffuDINO)."""

    num_classes = 1  # the predictions may have no other

    def __call__(self, targets: list[Target]) -> list[Target]:
        """Targets with every label 0; the given ones stay as they are."""
        return [{**t, "labels": torch.zeros_like(t["labels"])} for t in targets]


class TargetsAsGiven:
    """Targets with their own classes (DINO)."""

    num_classes = None  # as many as the criterion's

    def __call__(self, targets: list[Target]) -> list[Target]:
        return targets


class LayerCriterion(nn.Module):
    """A criterion of a decoder's layers: the weights of its losses, given per kind, expanded to every layer.

    Args:
        weight_dict: weight per kind of loss, e.g. `loss_bbox`.
        num_layers: decoder layers.

    Attributes:
        weight_dict: weight per name of loss, e.g. `loss_bbox_0`.
    """

    def __init__(self, weight_dict: Mapping[str, float], num_layers: int):
        super().__init__()
        self.num_layers = num_layers
        self.weight_dict = {
            name + suffix: float(weight) for name, weight in weight_dict.items() for suffix in self.suffixes(name)
        }

    def weighted(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses times their weights.

        Raises:
            ValueError: a loss has no weight.
        """
        missing = sorted(losses.keys() - self.weight_dict.keys())
        if missing:
            raise ValueError(f"no weight for {missing}: weight_dict has {sorted(self.weight_dict)}")
        return {name: loss * self.weight_dict[name] for name, loss in losses.items()}

    def suffixes(self, name: str) -> Iterator[str]:
        """What is appended to `name`, a key of the config's weight_dict, in the names of losses."""
        yield from ("", *(f"_{i}" for i in range(self.num_layers - 1)))


class SetCriterion(LayerCriterion):
    """Losses of the decoder's layers and of the encoder's proposals.

    Args:
        num_classes: K.
        matcher: has `match_layers`, see `HungarianMatcher`.
        class_loss: from logits (B, Q, K) and `MatchedPairs` to the sum of the loss, see `losses`.
        weight_dict: weight per kind of loss (`loss_class`, `loss_bbox`, `loss_giou`); expanded here to every layer.
        num_layers: decoder layers, for the expansion.
        encoder_targets: what the encoder's proposals are compared with, made from the targets; `num_classes` tells
            whether fewer classes than K suffice for it.
        pair_weights: from logits (B, Q, K) and pairs to how much each pair counts, (M,); None: all the same.
        contrastive: from the last layer's states (B, Q, C) and its pairs to `loss_contrastive`; None: no such loss.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        matcher: nn.Module,
        class_loss: ClassLoss,
        weight_dict: Mapping[str, float],
        num_layers: int,
        encoder_targets: Callable[[list[Target]], list[Target]],
        pair_weights: PairWeights | None = None,
        contrastive: nn.Module | None = None,
    ):
        super().__init__(weight_dict, num_layers)
        self.num_classes = num_classes
        self.matcher = matcher
        self.class_loss = class_loss
        self.encoder_targets = encoder_targets
        self.pair_weights = pair_weights
        self.contrastive = contrastive

    def forward(
        self, outputs: dict[str, Any], targets: list[Target], dn_metas: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Unweighted scalar losses by name; every one is connected to the predictions, without targets too.

        Args:
            outputs: `pred_logits` (B, Q, K) and `pred_boxes` (B, Q, 4) of the last layer, the same of the others in the
                list `aux_outputs`, of the proposals in `enc_outputs` (any number of queries); both optional. `states`
                (B, Q, C) for the contrastive loss.
            targets: per image `labels` (n,) int64 and `boxes` (n, 4) normalized cxcywh.
            dn_metas: denoising predictions; of no use here, subclasses read them.

        Raises:
            ValueError: `pred_logits` has not K classes.
        """
        losses = {}
        for layer_losses in self.matched_losses(outputs, targets):
            losses.update(layer_losses)
        return losses

    def matched_losses(self, outputs: dict[str, Any], targets: list[Target]) -> Iterator[dict[str, Tensor]]:
        """The losses of `forward`, layer by layer as each is computed, the last layer's first."""
        layers = self._layers(outputs, targets)
        for suffix, (predictions, _) in layers.items():
            self._check_classes(predictions["pred_logits"], suffix)
        num_boxes = average_over_ranks(sum(len(t["labels"]) for t in targets), outputs["pred_logits"].device)
        indices = self.matcher.match_layers(list(layers.values()))
        for (suffix, (predictions, layer_targets)), layer_indices in zip(layers.items(), indices, strict=True):
            layer_losses = self.layer_losses(predictions, layer_targets, layer_indices, self.pair_weights)
            yield {name + suffix: loss / num_boxes for name, loss in layer_losses.items()}
        if self.contrastive is not None:
            pairs = gather_pairs(outputs["pred_boxes"], targets, indices[0])
            yield {_CONTRASTIVE: self.contrastive(outputs["states"], pairs)}

    def layer_losses(
        self,
        predictions: Predictions,
        targets: list[Target],
        indices: Indices,
        pair_weights: PairWeights | None = None,
    ) -> dict[str, Tensor]:
        """One layer's losses as sums, in float32 whatever the autocast."""
        logits = predictions["pred_logits"]
        pairs = gather_pairs(predictions["pred_boxes"].float(), targets, indices)
        if pair_weights is not None:
            pairs = replace(pairs, weights=pair_weights(logits, pairs))
        return {
            "loss_class": self.class_loss(logits, pairs),
            "loss_bbox": l1_loss(pairs),
            "loss_giou": giou_loss(pairs),
        }

    def suffixes(self, name: str) -> Iterator[str]:
        """As the base's, and the encoder's proposals; the contrastive loss is of the last layer alone."""
        last, *others = super().suffixes(name)
        yield from (last,) if name == _CONTRASTIVE else (last, "_enc", *others)

    def _layers(self, outputs: dict[str, Any], targets: list[Target]) -> dict[str, tuple[Predictions, list[Target]]]:
        """Suffix of the losses' names to what is compared, last layer first."""
        layers = {"": (outputs, targets)}
        layers |= {f"_{i}": (aux, targets) for i, aux in enumerate(outputs.get("aux_outputs", []))}
        if "enc_outputs" in outputs:
            layers["_enc"] = (outputs["enc_outputs"], self.encoder_targets(targets))
        return layers

    def _check_classes(self, logits: Tensor, suffix: str) -> None:
        allowed = {self.num_classes, self.encoder_targets.num_classes if suffix == "_enc" else None}
        if logits.shape[-1] not in allowed:
            where = "the encoder's pred_logits" if suffix == "_enc" else "pred_logits"
            raise ValueError(f"{where} has {logits.shape[-1]} classes; num_classes is {self.num_classes}")


def gather_pairs(pred_boxes: Tensor, targets: list[Target], indices: Indices) -> MatchedPairs:
    """Flatten per-image indices into the batch's pairs; `pred_boxes` is (B, Q, 4)."""
    image = torch.cat([torch.full_like(query, i) for i, (query, _) in enumerate(indices)])
    query = torch.cat([query for query, _ in indices])
    return MatchedPairs(
        image=image,
        query=query,
        target=torch.cat([matched for _, matched in indices]),
        labels=torch.cat([t["labels"][matched] for t, (_, matched) in zip(targets, indices, strict=True)]),
        pred_boxes=pred_boxes[image, query],
        target_boxes=torch.cat([t["boxes"][matched] for t, (_, matched) in zip(targets, indices, strict=True)]).float(),
    )


def average_over_ranks(count: int, device: torch.device) -> Tensor:
    """Mean of `count` over the processes, at least 1, as a scalar on `device`; does not wait for the device.

    With gradients averaged over processes, losses divided by it are those of one process with all images.
    """
    mean = torch.full((), float(count), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean.clamp(min=1)
