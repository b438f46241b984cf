"""The loss of a DETR: match every layer's predictions with the targets, then compare the matched pairs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from layers_diffu_detr.targets import Target

from .losses import MatchedPairs, giou_loss, l1_loss
from .matcher import Indices, LayerMatcher, LayerPredictions
from .supervised_layer import ENCODER, LAST, SupervisedLayer, decoder_layers, predictions_by_layer

ClassLoss = Callable[[Tensor, MatchedPairs], Tensor]
PairWeights = Callable[[Tensor, MatchedPairs], Tensor]

BOX_LOSSES = ("loss_class", "loss_bbox", "loss_giou")
_CONTRASTIVE = "loss_contrastive"


class EncoderTargets(Protocol):
    """Makes the targets of the encoder's proposals from an image's targets.

    Attributes:
        num_classes: a number of classes that the proposals' predictions may have instead of K; None: they must have K.
    """

    num_classes: int | None

    def __call__(self, targets: list[Target]) -> list[Target]:
        """Targets of all images -> targets of their proposals. The given targets are not changed."""
        ...


class ClassAgnosticTargets:
    """Targets with the label 0: proposals learn whether there is an object, not which (Deformable DETR, DiffuDINO)."""

    num_classes: int | None = 1

    def __call__(self, targets: list[Target]) -> list[Target]:
        """See `EncoderTargets`."""
        return [{**t, "labels": torch.zeros_like(t["labels"])} for t in targets]


class TargetsAsGiven:
    """Targets with their own labels: proposals also learn the class of the object (DINO)."""

    num_classes: int | None = None

    def __call__(self, targets: list[Target]) -> list[Target]:
        """See `EncoderTargets`."""
        return targets


class LayerCriterion(nn.Module):
    """The base of criteria that compute losses layer by layer: it knows the weight of every loss.

    Subclasses say which layers and losses they have. A config gives one weight per kind of loss, e.g. `loss_bbox`, and
    the weight holds for all layers.

    Args:
        weight_dict: kind of loss -> weight. A kind that is missing here must not occur in training.
        num_layers: number of decoder layers or heads.

    Attributes:
        weight_dict: name of a loss, e.g. `loss_bbox_0` -> weight.

    Raises:
        ValueError: `weight_dict` has a kind of loss that the criterion does not compute.
    """

    def __init__(self, weight_dict: Mapping[str, float], num_layers: int) -> None:
        super().__init__()
        self.num_layers = num_layers
        self.weight_dict: dict[str, float] = {}
        known = set()
        for layer in self.layers():
            for loss in self.losses_of(layer):
                key = layer.weight_key(loss)
                known.add(key)
                if key in weight_dict:
                    self.weight_dict[layer.name(loss)] = float(weight_dict[key])
        if unknown := sorted(weight_dict.keys() - known):
            name = type(self).__name__
            raise ValueError(f"criterion.weight_dict has {unknown}; the losses of {name} are {sorted(known)}")

    def layers(self) -> Iterator[SupervisedLayer]:
        """The layers that have losses."""
        return decoder_layers(self.num_layers)

    def losses_of(self, layer: SupervisedLayer) -> tuple[str, ...]:
        """The kinds of loss that `layer` has."""
        return BOX_LOSSES

    def weighted(self, losses: dict[str, Tensor]) -> dict[str, Tensor]:
        """The losses times their weights.

        Raises:
            ValueError: a loss has no weight.
        """
        missing = sorted(losses.keys() - self.weight_dict.keys())
        if missing:
            raise ValueError(f"no weight for {missing}: weight_dict has {sorted(self.weight_dict)}")
        return {name: loss * self.weight_dict[name] for name, loss in losses.items()}


class SetCriterion(LayerCriterion):
    """Losses of the decoder's layers and of the encoder's proposals.

    Args:
        num_classes: K.
        matcher: assigns targets to predictions, see `HungarianMatcher`.
        class_loss: (logits (B, Q, K), `MatchedPairs`) -> sum of the class loss, see `losses`.
        weight_dict: weights of `loss_class`, `loss_bbox`, `loss_giou`; of `loss_class_many`, `loss_bbox_many` and
            `loss_giou_many` for a model with auxiliary queries; and, with `contrastive`, of `loss_contrastive`.
        num_layers: number of decoder layers.
        encoder_targets: makes the proposals' targets.
        pair_weights: (logits (B, Q, K), `MatchedPairs`) -> how much each pair counts, (M,); None: all the same.
        contrastive: (the last layer's states (B, Q, C), its pairs) -> `loss_contrastive`; None: no such loss.
    """

    def __init__(
        self,
        *,
        num_classes: int,
        matcher: LayerMatcher,
        class_loss: ClassLoss,
        weight_dict: Mapping[str, float],
        num_layers: int,
        encoder_targets: EncoderTargets,
        pair_weights: PairWeights | None = None,
        contrastive: nn.Module | None = None,
    ) -> None:
        super().__init__(weight_dict, num_layers)
        self.num_classes = num_classes
        self.matcher = matcher
        self.class_loss = class_loss
        self.encoder_targets = encoder_targets
        self.pair_weights = pair_weights
        self.contrastive = contrastive

    def layers(self) -> Iterator[SupervisedLayer]:
        """The last decoder layer, the encoder, the other decoder layers; then the auxiliary queries of all of these."""
        last, *others = super().layers()
        yield from (last, ENCODER, *others, *decoder_layers(self.num_layers, "many"))

    def losses_of(self, layer: SupervisedLayer) -> tuple[str, ...]:
        """The kinds of loss that `layer` has. Only the last decoder layer has the contrastive loss."""
        return (*super().losses_of(layer), _CONTRASTIVE) if layer == LAST else super().losses_of(layer)

    def forward(
        self, outputs: dict[str, Any], targets: list[Target], dn_metas: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Unweighted scalar losses by name. Each is connected to the predictions, even if there are no targets.

        Args:
            outputs: predictions in detrex's form: `pred_logits` (B, Q, K) and `pred_boxes` (B, Q, 4) of the last layer;
                in `aux_outputs` a list of the same of the other layers; in `enc_outputs` the same of the encoder's
                proposals, of any number; in `one_to_many` the same of auxiliary queries, with `aux_outputs` and with
                `matches`, the number of them that answers each target. The last three are optional. `states` (B, Q, C)
                for the contrastive loss.
            targets: per image `labels` (n,) int64 and `boxes` (n, 4) normalized cxcywh.
            dn_metas: not used here; subclasses read the denoising queries' predictions from it.

        Raises:
            ValueError: `pred_logits` has not K classes.
        """
        losses: dict[str, Tensor] = {}
        for layer_losses in self.matched_losses(outputs, targets):
            losses.update(layer_losses)
        return losses

    def matched_losses(self, outputs: dict[str, Any], targets: list[Target]) -> Iterator[dict[str, Tensor]]:
        """The losses of `SetCriterion.forward`, computed and yielded layer by layer, the last layer's first."""
        layers = {layer: (predictions, targets) for layer, predictions in predictions_by_layer(outputs).items()}
        if "enc_outputs" in outputs:
            layers[ENCODER] = (outputs["enc_outputs"], self.encoder_targets(targets))
        matches = self.matcher.matches_per_target(len(layers), proposals=ENCODER in layers)
        many = outputs.get("one_to_many")
        if many is not None:
            of_many = predictions_by_layer(many, "many")
            layers |= {layer: (predictions, targets) for layer, predictions in of_many.items()}
            matches = [*matches, *[many["matches"]] * len(of_many)]
        for layer, (predictions, _) in layers.items():
            self._check_classes(predictions["pred_logits"], layer)
        num_boxes = average_over_ranks(sum(len(t["labels"]) for t in targets), outputs["pred_logits"].device)
        indices = self.matcher.match_layers(list(layers.values()), matches)
        for (layer, (predictions, layer_targets)), layer_indices in zip(layers.items(), indices, strict=True):
            layer_losses = self.layer_losses(predictions, layer_targets, layer_indices, self.pair_weights)
            number = num_boxes * many["matches"] if many is not None and layer.kind == "many" else num_boxes
            yield {layer.name(loss): value / number for loss, value in layer_losses.items()}
        if self.contrastive is not None:
            pairs = gather_pairs(outputs["pred_boxes"], targets, indices[0])
            yield {LAST.name(_CONTRASTIVE): self.contrastive(outputs["states"], pairs)}

    def layer_losses(
        self,
        predictions: LayerPredictions,
        targets: list[Target],
        indices: Indices,
        pair_weights: PairWeights | None = None,
    ) -> dict[str, Tensor]:
        """Kind of loss -> its sum over one layer's predictions. The sums are float32, also under autocast."""
        logits = predictions["pred_logits"]
        pairs = gather_pairs(predictions["pred_boxes"].float(), targets, indices)
        if pair_weights is not None:
            pairs = replace(pairs, weights=pair_weights(logits, pairs))
        return {
            "loss_class": self.class_loss(logits, pairs),
            "loss_bbox": l1_loss(pairs),
            "loss_giou": giou_loss(pairs),
        }

    def _check_classes(self, logits: Tensor, layer: SupervisedLayer) -> None:
        allowed = {self.num_classes, self.encoder_targets.num_classes if layer == ENCODER else None}
        if logits.shape[-1] not in allowed:
            where = "the encoder's pred_logits" if layer == ENCODER else "pred_logits"
            raise ValueError(f"{where} has {logits.shape[-1]} classes; num_classes is {self.num_classes}")


def gather_pairs(pred_boxes: Tensor, targets: list[Target], indices: Indices) -> MatchedPairs:
    """Put the pairs of all images, which `indices` lists by image, one after another; `pred_boxes` is (B, Q, 4)."""
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
    """The mean of `count` over all processes, but at least 1, as a scalar on `device`.

    Training averages gradients over processes. A loss that is divided by this mean therefore has the gradient that it
    would have in a single process with all images. The function does not wait for the GPU.
    """
    mean = torch.full((), float(count), device=device)
    if dist.is_available() and dist.is_initialized():
        dist.all_reduce(mean)
        mean /= dist.get_world_size()
    return mean.clamp(min=1)
