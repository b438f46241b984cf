"""DiffusionInst: DiffusionDet whose boxes carry filters, which make masks of one feature per image (Gu et al. 2024)."""

from collections.abc import Sequence

import torch
from detectron2.structures import BitMasks, Instances, PolygonMasks
from torch import Tensor

from layers_diffu_detr.mask_head import DynamicMaskHead, MaskBranch, sample_masks
from layers_diffu_detr.targets import Target
from projects.diffu_detr.modeling.detector import output_size

from .diffusion_det import DiffusionDet, Scene


class DiffusionInst(DiffusionDet):
    """DiffusionDet with masks.

    Args:
        mask_branch: maps of the pyramid -> the mask feature (B, C_m, H, W).
        mask_head: mask feature and filters -> masks.
        mask_features: the maps that the branch takes, finest first.
        kwargs: see `DiffusionDet`; its `roi_head` predicts `mask_head.num_filters` numbers.
    """

    def __init__(
        self, *args, mask_branch: MaskBranch, mask_head: DynamicMaskHead, mask_features: Sequence[str], **kwargs
    ):
        super().__init__(*args, **kwargs)
        if mask_branch.num_levels != len(mask_features):
            raise ValueError(
                f"model.mask_features is {list(mask_features)}; mask_branch takes {mask_branch.num_levels} maps"
            )
        self.mask_branch = mask_branch
        self.mask_head = mask_head
        self.mask_features = list(mask_features)
        self.mask_stride = self.strides[self.mask_features[0]]

    def mask_feature(self, scene: Scene) -> Tensor:
        """(B, C_m, H, W), at the finest of its maps' resolution."""
        return self.mask_branch([scene.maps[name] for name in self.mask_features])

    def predict(self, scene: Scene, boxes: Tensor, t: Tensor) -> dict:
        """As DiffusionDet's, and the `mask_feature`."""
        return {**super().predict(scene, boxes, t), "mask_feature": self.mask_feature(scene)}

    def target_of(self, instances: Instances) -> Target:
        """As DiffusionDet's, and `masks` (n, h, w) bool, sampled where the mask feature has its values."""
        if not instances.has("gt_masks"):
            raise ValueError("training a model with masks needs `gt_masks` in `instances`; set mask_on in the mapper")
        masks = _bitmasks(instances.gt_masks, instances.image_size)
        return {**super().target_of(instances), "masks": sample_masks(masks, self.mask_stride)}

    def detect(self, images: list[Tensor], batched_inputs: list[dict]) -> list[dict[str, Instances]]:
        """Detections and their masks in images of one size."""
        scene = self.encode(images)
        passes = self.sample(scene, batched_inputs)
        results = self.postprocess(self.sampler.ensemble(passes), images, batched_inputs)
        for i, feature in enumerate(self.mask_feature(scene)):
            instances = results[i]["instances"]
            instances.pred_masks = self.mask_head.in_pixels(
                feature,
                instances.filters,
                instances.pred_boxes.tensor,
                stride=self.mask_stride,
                image_size=tuple(images[i].shape[-2:]),
                output_size=output_size(images[i], batched_inputs[i]),
            )
            instances.remove("filters")
        return results


def _bitmasks(masks: BitMasks | PolygonMasks | Tensor, image_size: tuple[int, int]) -> Tensor:
    """Ground truth masks, (n, H, W) bool."""
    if isinstance(masks, PolygonMasks):
        masks = BitMasks.from_polygon_masks(masks, *image_size)
    return masks if isinstance(masks, torch.Tensor) else masks.tensor
