"""DiffuDINO with masks: its queries also predict the filters of a dynamic mask head. Neither paper has this model."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from layers_diffu_detr.checkpoint_names import CheckpointNames
from layers_diffu_detr.ldm.passes import DenoisingPass
from layers_diffu_detr.mask_head import DynamicMaskHead, MaskBranch
from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.criterion import PairWeights
from projects.diffu_base.modeling.mask_loss import MaskLoss
from projects.diffu_base.modeling.masks import add_masks, ground_truth_masks
from projects.diffu_base.modeling.matcher import Indices, LayerPredictions
from projects.diffu_base.modeling.supervised_layer import SupervisedLayer
from projects.diffu_detr.modeling.memory import Memory
from projects.diffu_detr.modeling.queries import Queries

from .criterion import DINOCriterion
from .dino import DiffuDINO


class DiffuDINOInst(DiffuDINO):
    """DiffuDINO with masks; without diffusion it is DINO with masks.

    Args:
        mask_branch: the finest levels of the encoder's memory -> the mask feature (B, C_m, H, W).
        mask_head: mask feature and filters -> masks.
        controller: states of the decoder's queries, of any layer -> filters (..., `mask_head.num_filters`).
        mask_stride: pixels of an image per cell of the finest level.
        kwargs: see `DiffuDINO`.

    Raises:
        ValueError: the mask branch takes more levels than memory has.
    """

    def __init__(
        self,
        *args: Any,
        mask_branch: MaskBranch,
        mask_head: DynamicMaskHead,
        controller: nn.Module,
        mask_stride: int = 8,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if mask_branch.num_levels > len(self.transformer.level_embeds):
            raise ValueError(
                f"mask_branch.num_levels is {mask_branch.num_levels}; the encoder's memory has "
                f"{len(self.transformer.level_embeds)} levels"
            )
        self.mask_branch = mask_branch
        self.mask_head = mask_head
        self.controller = controller
        self.mask_stride = mask_stride

    def checkpoint_names(self) -> CheckpointNames:
        """Names in checkpoints. Those of DiffuDINO, which has no masks, can be loaded too."""
        names = super().checkpoint_names()
        return replace(names, added_parts=(*names.added_parts, "mask_branch", "controller"))

    def target_of(self, instances: Instances) -> Target:
        """DiffuDINO's targets and `masks` (n, h, w) bool, read at the centres of the mask feature's cells."""
        return {**super().target_of(instances), "masks": ground_truth_masks(instances, self.mask_stride)}

    def filters(self, states: Tensor) -> Tensor:
        """The filters (B, Q, F) of masks, predicted from queries' `states` (B, Q, C)."""
        return self.controller(states)

    def decode(self, memory: Memory, queries: Queries) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """Decode as DiffuDINO does. Every layer's predictions also have `filters` (B, Q, F) and the `mask_feature`.

        The predictions of denoising queries do not have them.
        """
        outputs, dn_metas = super().decode(memory, queries)
        mask_feature = self.mask_branch(memory.maps())
        for layer in (outputs, *outputs["aux_outputs"]):
            layer.update(filters=self.filters(layer["states"]), mask_feature=mask_feature)
        return outputs, dn_metas

    @torch.no_grad()
    def results(
        self, memory: Memory, passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """What is detected by `passes`, with masks; see `Detector.results`."""
        results = super().results(memory, passes, images, batched_inputs)
        features = self._mask_features(memory)
        add_masks(results, features, images, batched_inputs, self.mask_head, self.mask_stride)
        return results

    def _mask_features(self, memory: Memory) -> Iterable[Tensor]:
        """Each image's mask feature (C_m, H, W), made without padding, which the branch's convolutions would see."""
        maps = memory.maps()
        for i, sizes in enumerate(memory.valid_sizes):
            own = [level[i : i + 1, :, :height, :width] for level, (height, width) in zip(maps, sizes, strict=True)]
            yield from self.mask_branch(own)


class DINOMaskCriterion(DINOCriterion):
    """`DINOCriterion` with `loss_mask` on the matched queries of every decoder layer.

    Args:
        mask_loss: see `MaskLoss`.
        kwargs: see `DINOCriterion`.
    """

    def __init__(self, *, mask_loss: MaskLoss, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mask_loss = mask_loss

    def losses_of(self, layer: SupervisedLayer) -> tuple[str, ...]:
        """The kinds of loss that `layer` has. The queries of decoder layers also have `loss_mask`."""
        return (*super().losses_of(layer), "loss_mask") if layer.kind == "decoder" else super().losses_of(layer)

    def layer_losses(
        self,
        predictions: LayerPredictions,
        targets: list[Target],
        indices: Indices,
        pair_weights: PairWeights | None = None,
    ) -> dict[str, Tensor]:
        """The losses of the set criterion, and `loss_mask` if the predictions have `filters` and `mask_feature`."""
        losses = super().layer_losses(predictions, targets, indices, pair_weights)
        if "filters" in predictions:
            filters, mask_feature = predictions["filters"], predictions["mask_feature"]
            losses["loss_mask"] = self.mask_loss.of_queries(filters, mask_feature, targets, indices)
        return losses
