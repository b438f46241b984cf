"""DINO's criterion: the set criterion with the losses of denoising queries."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.criterion import BOX_LOSSES, SetCriterion, average_over_ranks
from projects.diffu_base.modeling.matcher import Indices, LayerPredictions
from projects.diffu_base.modeling.supervised_layer import SupervisedLayer, decoder_layers, predictions_by_layer


class DINOCriterion(SetCriterion):
    """`SetCriterion` with the losses of denoising queries (`loss_class_dn`, `loss_bbox_dn_0`, ...).

    These need no matching, since each query knows the target that it was made from. `weight_dict` has weights of their
    own for them: `loss_class_dn`, `loss_bbox_dn` and `loss_giou_dn`.
    """

    def layers(self) -> Iterator[SupervisedLayer]:
        """The layers of the set criterion, and then the denoising queries of every decoder layer."""
        yield from super().layers()
        yield from decoder_layers(self.num_layers, "denoising")

    def losses_of(self, layer: SupervisedLayer) -> tuple[str, ...]:
        """The kinds of loss that `layer` has. Denoising queries only have losses of classes and boxes."""
        return BOX_LOSSES if layer.kind == "denoising" else super().losses_of(layer)

    def forward(
        self, outputs: dict[str, Any], targets: list[Target], dn_metas: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Unweighted losses of `SetCriterion.forward` and of the denoising queries.

        Args:
            outputs, targets: as in `SetCriterion.forward`.
            dn_metas: what detrex's DINO gives its criterion: `output_known_lbs_bboxes`, the denoising queries'
                predictions, in the form of `outputs`; `dn_num`, the number of groups; `single_padding`, the number of
                queries in a group, of which the first half is positive. Where not every target has denoising queries,
                it also has `targets`, the ones that have. None: there are no denoising queries; their losses are 0.
        """
        losses: dict[str, Tensor] = {}
        none: dict[str, Tensor] = {}
        parts = self.matched_losses(outputs, targets), self.denoising_losses(outputs, targets, dn_metas)
        # A layer's matching and denoising queries share one tensor of logits. Both losses of a layer are computed
        # before those of the next layer. The backward pass then handles the two one right after the other, and frees
        # the tensor.
        for matched, denoising in zip_longest(*parts, fillvalue=none):
            losses.update(matched)
            losses.update(denoising)
        return losses

    def denoising_losses(
        self, outputs: dict[str, Any], targets: list[Target], dn_metas: dict[str, Any] | None
    ) -> Iterator[dict[str, Tensor]]:
        """The denoising queries' losses, computed and yielded layer by layer, the last layer's first."""
        if dn_metas is None:
            dn_targets, dn_outputs, indices, groups = targets, _without_queries(outputs), _no_indices(outputs), 1
        else:
            dn_targets, dn_outputs = dn_metas.get("targets", targets), dn_metas["output_known_lbs_bboxes"]
            groups = dn_metas["dn_num"]
            indices = denoising_indices(dn_targets, groups, dn_metas["single_padding"])
        # A process without denoising queries also calls this function: others may have some and wait for its number.
        num_boxes = average_over_ranks(sum(len(t["labels"]) for t in dn_targets), outputs["pred_logits"].device)
        for layer, predictions in predictions_by_layer(dn_outputs, "denoising").items():
            layer_losses = self.layer_losses(predictions, dn_targets, indices)
            yield {layer.name(loss): value / (num_boxes * groups) for loss, value in layer_losses.items()}


def denoising_indices(targets: list[Target], groups: int, single_padding: int) -> Indices:
    """Each image's pairs: in group g, query g · single_padding + j is the positive one made from target j."""
    indices = []
    for t in targets:
        target = torch.arange(len(t["labels"]), device=t["labels"].device)
        first = torch.arange(groups, device=target.device)[:, None] * single_padding
        indices.append(((first + target).flatten(), target.repeat(groups)))
    return indices


def _without_queries(outputs: dict[str, Any]) -> dict[str, Any]:
    """`outputs` with its queries left out. The losses of such predictions are 0, but connected to the model."""

    def empty(layer: LayerPredictions) -> LayerPredictions:
        return {name: layer[name][:, :0] for name in ("pred_logits", "pred_boxes")}

    return {**empty(outputs), "aux_outputs": [empty(aux) for aux in outputs.get("aux_outputs", [])]}


def _no_indices(outputs: dict[str, Any]) -> Indices:
    none = torch.empty(0, dtype=torch.int64, device=outputs["pred_logits"].device)
    return [(none, none)] * len(outputs["pred_logits"])
