"""DINO's criterion: the set criterion and the losses of the denoising queries."""

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.criterion import SetCriterion, average_over_ranks
from projects.diffu_base.modeling.matcher import Indices, Predictions


class DINOCriterion(SetCriterion):
    """`SetCriterion` with denoising losses (`loss_class_dn`, `loss_bbox_dn_0`, ...), which need no matching.

    `weight_dict` has, besides the criterion's, `loss_class_dn`, `loss_bbox_dn` and `loss_giou_dn`.
    """

    def forward(
        self, outputs: dict[str, Any], targets: list[Target], dn_metas: dict[str, Any] | None = None
    ) -> dict[str, Tensor]:
        """Unweighted losses of `SetCriterion.forward` and of the denoising queries.

        Args:
            outputs, targets: as in `SetCriterion.forward`.
            dn_metas: `output_known_lbs_bboxes` (predictions of the denoising queries, like `outputs`), `dn_num`
                (number of groups), `single_padding` (queries in a group, positives first) and, where not every target
                has denoising queries, the `targets` that have. None: there are no denoising queries, the losses are 0.
        """
        losses = {}
        # Layer by layer: the two parts of a layer's logits are one tensor, which the backward pass so is done with
        # before it comes to the next layer's.
        for parts in zip_longest(
            self.matched_losses(outputs, targets), self.denoising_losses(outputs, targets, dn_metas), fillvalue={}
        ):
            for layer_losses in parts:
                losses.update(layer_losses)
        return losses

    def denoising_losses(
        self, outputs: dict[str, Any], targets: list[Target], dn_metas: dict[str, Any] | None
    ) -> Iterator[dict[str, Tensor]]:
        """The denoising queries' losses of `forward`, layer by layer as each is computed, the last layer's first."""
        if dn_metas is None:
            dn_targets, layers, indices, groups = targets, _without_queries(outputs), _no_indices(outputs), 1
        else:
            dn_targets, layers = dn_metas.get("targets", targets), dn_metas["output_known_lbs_bboxes"]
            groups = dn_metas["dn_num"]
            indices = denoising_indices(dn_targets, groups, dn_metas["single_padding"])
        # Reduced in every process in every iteration, since another process may have denoising queries.
        num_boxes = average_over_ranks(sum(len(t["labels"]) for t in dn_targets), outputs["pred_logits"].device)
        for suffix, predictions in [("_dn", layers), *_numbered("_dn", layers.get("aux_outputs", []))]:
            layer_losses = self.layer_losses(predictions, dn_targets, indices)
            yield {name + suffix: loss / (num_boxes * groups) for name, loss in layer_losses.items()}

    def suffixes(self, name: str) -> Iterator[str]:
        if name.endswith("_dn"):
            return (suffix for suffix in super().suffixes(name) if suffix != "_enc")
        return super().suffixes(name)


def denoising_indices(targets: list[Target], groups: int, single_padding: int) -> Indices:
    """Per image (positive queries, targets): query g · single_padding + j of group g is made from target j."""
    indices = []
    for t in targets:
        target = torch.arange(len(t["labels"]), device=t["labels"].device)
        first = torch.arange(groups, device=target.device)[:, None] * single_padding
        indices.append(((first + target).flatten(), target.repeat(groups)))
    return indices


def _numbered(prefix: str, layers: list[Predictions]) -> list[tuple[str, Predictions]]:
    return [(f"{prefix}_{i}", layer) for i, layer in enumerate(layers)]


def _without_queries(outputs: dict[str, Any]) -> dict[str, Any]:
    """`outputs` with no query left: their losses are 0, yet connected to the graph."""

    def empty(layer: Predictions) -> Predictions:
        return {name: layer[name][:, :0] for name in ("pred_logits", "pred_boxes")}

    return {**empty(outputs), "aux_outputs": [empty(aux) for aux in outputs.get("aux_outputs", [])]}


def _no_indices(outputs: dict[str, Any]) -> Indices:
    none = torch.empty(0, dtype=torch.int64, device=outputs["pred_logits"].device)
    return [(none, none)] * len(outputs["pred_logits"])
