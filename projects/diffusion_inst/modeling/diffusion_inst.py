"""DiffusionInst (Gu et al. 2024): DiffusionDet whose heads also predict the filters of a dynamic mask head."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from detectron2.structures import Instances
from torch import Tensor

from layers_diffu_detr.checkpoint_names import CheckpointNames
from layers_diffu_detr.ldm.passes import DenoisingPass
from layers_diffu_detr.mask_head import DynamicMaskHead, MaskBranch
from layers_diffu_detr.targets import Target
from projects.diffu_base.modeling.masks import add_masks, ground_truth_masks

from .diffusion_det import DiffusionDet, Scene


class DiffusionInst(DiffusionDet):
    """DiffusionDet with masks.

    Args:
        mask_branch: maps of the pyramid -> the mask feature (B, C_m, H, W).
        mask_head: mask feature and filters -> masks.
        mask_features: the maps that the branch takes, finest first.
        kwargs: see `DiffusionDet`; its `roi_head` must predict `mask_head.num_filters` filters.

    Raises:
        ValueError: the branch takes another number of maps, or the strides of the maps do not double.
    """

    def __init__(
        self,
        *args: Any,
        mask_branch: MaskBranch,
        mask_head: DynamicMaskHead,
        mask_features: Sequence[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if mask_branch.num_levels != len(mask_features):
            raise ValueError(
                f"model.mask_features is {list(mask_features)}; mask_branch takes {mask_branch.num_levels} maps"
            )
        strides = self.strides_of("mask_features", mask_features)
        if any(coarser != 2 * finer for finer, coarser in pairwise(strides)):
            raise ValueError(
                f"model.mask_features is {list(mask_features)} of strides {strides}; each must be twice the one before"
            )
        self.mask_branch = mask_branch
        self.mask_head = mask_head
        self.mask_features = list(mask_features)
        self.mask_stride = strides[0]

    def checkpoint_names(self) -> CheckpointNames:
        """Names in released checkpoints: the mask branch is a part of the heads, and LVIS's class counts are saved."""
        return CheckpointNames(
            renamed={"head.mask_refine.": "mask_branch.refine.", "head.mask_head.": "mask_branch.tower."},
            ignored={"criterion.fed_loss_cls_weights": "class frequencies, determined by the config"},
        )

    def mask_feature(self, scene: Scene) -> Tensor:
        """The mask feature (B, C_m, H, W), in the resolution of the finest map that the branch takes."""
        return self.mask_branch([scene.maps[name] for name in self.mask_features])

    def predict(self, scene: Scene, boxes: Tensor, t: Tensor) -> dict[str, Any]:
        """DiffusionDet's predictions and the `mask_feature`."""
        return {**super().predict(scene, boxes, t), "mask_feature": self.mask_feature(scene)}

    def target_of(self, instances: Instances) -> Target:
        """DiffusionDet's targets and `masks` (n, h, w) bool, read at the centres of the mask feature's cells."""
        return {**super().target_of(instances), "masks": ground_truth_masks(instances, self.mask_stride)}

    def results(
        self, scene: Scene, passes: list[DenoisingPass], images: list[Tensor], batched_inputs: list[dict]
    ) -> list[dict[str, Instances]]:
        """What is detected by `passes`, with masks; see `Detector.results`."""
        results = super().results(scene, passes, images, batched_inputs)
        add_masks(results, self.mask_feature(scene), images, batched_inputs, self.mask_head, self.mask_stride)
        return results
