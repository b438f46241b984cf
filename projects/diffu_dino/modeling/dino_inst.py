"""DiffuDINO with masks: its queries also predict the filters of a dynamic mask head. Neither paper has it."""

from collections.abc import Iterator

import torch
from detectron2.structures import Instances
from torch import Tensor, nn

from layers_diffu_detr.mask_head import DynamicMaskHead, MaskBranch
from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.mask_loss import MaskLoss
from projects.diffu_base.modeling.masks import add_masks, ground_truth_masks
from projects.diffu_base.modeling.matcher import Indices, Predictions
from projects.diffu_detr.modeling.meta_arch import Queries
from projects.diffu_detr.modeling.transformer import Memory, Proposals

from .criterion import DINOCriterion
from .dino import DiffuDINO


class DiffuDINOInst(DiffuDINO):
    """DiffuDINO with masks; without diffusion it is DINO with masks.

    Args:
        mask_branch: the finest levels of the encoder's memory -> the mask feature (B, C_m, H, W).
        mask_head: mask feature and filters -> masks.
        controller: the states of the decoder's queries, of any layer -> filters (..., `mask_head.num_filters`).
        mask_stride: pixels of an image per cell of the finest level.
        kwargs: see `DiffuDINO`.
    """

    added_parts = ("mask_branch", "controller")  # which weights of a DiffuDINO without masks do not have

    def __init__(
        self,
        *args,
        mask_branch: MaskBranch,
        mask_head: DynamicMaskHead,
        controller: nn.Module,
        mask_stride: int = 8,
        **kwargs,
    ):
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

    def target_of(self, instances: Instances) -> Target:
        """As DiffuDINO's, and `masks` (n, h, w) bool, sampled where the mask feature has its values."""
        return {**super().target_of(instances), "masks": ground_truth_masks(instances, self.mask_stride)}

    def filters(self, states: Tensor) -> Tensor:
        """(B, Q, F), of queries' states (B, Q, C)."""
        return self.controller(states)

    def decode(self, memory: Memory, queries: Queries) -> dict:
        """As DiffuDINO's, and in every layer `filters` (B, Q, F) and the `mask_feature`; the denoising queries, whose
        predictions are in `dn_metas`, have none."""
        outputs = super().decode(memory, queries)
        mask_feature = self.mask_branch(memory.maps())
        for layer in (outputs, *outputs["aux_outputs"]):
            layer.update(filters=self.filters(layer["states"]), mask_feature=mask_feature)
        return outputs

    @torch.no_grad()
    def detect(
        self, memory: Memory, proposals: Proposals | None, images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """As the meta-architecture's, and `pred_masks`."""
        results = super().detect(memory, proposals, images, batched_inputs)
        # Image by image, without padding, which the branch's convolutions would see.
        maps, features = memory.maps(), []
        for i, sizes in enumerate(memory.valid_sizes.tolist()):
            own = [level[i : i + 1, :, :height, :width] for level, (height, width) in zip(maps, sizes, strict=True)]
            features += self.mask_branch(own)
        add_masks(results, features, images, batched_inputs, self.mask_head, self.mask_stride)
        return results


class DINOMaskCriterion(DINOCriterion):
    """`DINOCriterion` with `loss_mask` of the matched queries of every decoder layer.

    Args:
        mask_loss: see `MaskLoss`.
        kwargs: see `DINOCriterion`.
    """

    def __init__(self, *, mask_loss: MaskLoss, **kwargs):
        super().__init__(**kwargs)
        self.mask_loss = mask_loss

    def layer_losses(
        self, predictions: Predictions, targets: list[Target], indices: Indices, *args
    ) -> dict[str, Tensor]:
        """As the base's, and the masks' of predictions that have `filters` and `mask_feature`."""
        losses = super().layer_losses(predictions, targets, indices, *args)
        if "filters" in predictions:
            filters, mask_feature = predictions["filters"], predictions["mask_feature"]
            losses["loss_mask"] = self.mask_loss.of_queries(filters, mask_feature, targets, indices)
        return losses

    def suffixes(self, name: str) -> Iterator[str]:
        """The encoder's proposals have no masks."""
        return (suffix for suffix in super().suffixes(name) if (name, suffix) != ("loss_mask", "_enc"))
