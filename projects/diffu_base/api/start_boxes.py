"""Denoises boxes that a person has, such as coarse labels: each box comes back refined, with a class and a score."""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from detectron2.structures import Boxes, Instances
from torch import Tensor
from torchvision.ops import box_iou

from layers_diffu_detr.box_ops import box_cxcywh_to_xyxy, box_xyxy_to_cxcywh
from layers_diffu_detr.ldm.ddim import DDIMUpdate
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, NoiseSource
from layers_diffu_detr.ldm.ensemble import LastPass
from layers_diffu_detr.ldm.passes import QueryBoxes
from projects.diffu_base.modeling.detector import Detector

# The share of the timesteps at which the boxes enter the chain: they are off by far less than noise is.
START = 0.25


class GivenStart:
    """A chain's start of which the first queries are given boxes; the others start from noise, as in training.

    Args:
        boxes: (N, 4) normalized cxcywh.
    """

    needs_proposals = False

    def __init__(self, boxes: Tensor) -> None:
        self.boxes = boxes

    def __call__(
        self, t: int, *, diffusion: GaussianDiffusion, draw: NoiseSource, proposals: Tensor | None
    ) -> tuple[Tensor, QueryBoxes]:
        """See `layers_diffu_detr.ldm.starts.Start`. A given box has the content of the proposal that fits it best."""
        x_t = draw()
        x_t[:, : len(self.boxes)] = diffusion.boxes_to_signal(self.boxes)
        source = None
        if proposals is not None and len(self.boxes):
            iou = box_iou(box_cxcywh_to_xyxy(self.boxes), box_cxcywh_to_xyxy(proposals[0]))
            source = torch.arange(x_t.shape[1], device=x_t.device)
            source[: len(self.boxes)] = iou.argmax(dim=1)
            source = source[None]
        return x_t, QueryBoxes(diffusion.signal_to_boxes(x_t), source)


def boxes_of(start_boxes: Any, number: int, name: str) -> np.ndarray:
    """The boxes of one image.

    Args:
        start_boxes: by the images' names, with or without their folders; a list with the boxes of each image; or the
            boxes (N, 4) of the first image.
        number: the place of the image.
        name: the image's name.

    Returns:
        (N, 4) float32, absolute xyxy.

    Raises:
        ValueError: there are no boxes for the image, or see `checked`.
    """
    if isinstance(start_boxes, Mapping):
        key = name if name in start_boxes else Path(name).name
        if key not in start_boxes:
            raise ValueError(f"start_boxes has no entry for {name!r}")
        return checked(start_boxes[key], name)
    if isinstance(start_boxes, np.ndarray | Tensor) and start_boxes.ndim == 2:
        start_boxes = [start_boxes]
    if number >= len(start_boxes):
        raise ValueError(f"start_boxes has boxes for {len(start_boxes)} images; {name} is image {number + 1}")
    return checked(start_boxes[number], name)


def checked(boxes: Any, name: str) -> np.ndarray:
    """Boxes (N, 4), absolute xyxy, as an array of float32.

    Raises:
        ValueError: they have another shape, are not finite or have no area.
    """
    array = np.asarray(boxes, dtype=np.float32).reshape(-1, 4) if len(boxes) == 0 else np.asarray(boxes, np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise ValueError(f"start_boxes of {name} have the shape {array.shape}; they must be (N, 4)")
    if not np.isfinite(array).all() or (array[:, 2:] <= array[:, :2]).any():
        raise ValueError(f"start_boxes of {name}: each must be x1, y1, x2, y2 with x1 < x2 and y1 < y2")
    return array


def refined(model: Detector, inputs: dict[str, Any], boxes: np.ndarray) -> Instances:
    """Denoise boxes in one image. The caller has set the model's sampler to a copy, see `dialled`.

    Args:
        model: a model with diffusion.
        inputs: detectron2's dict of the image, with `height` and `width` of the original.
        boxes: (N, 4) absolute xyxy in the original.

    Returns:
        N detections, in the order of `boxes`.
    """
    assert model.diffusion is not None
    height, width = inputs["height"], inputs["width"]
    scale = torch.tensor([width, height, width, height], dtype=torch.float32, device=model.device)
    start = box_xyxy_to_cxcywh(torch.from_numpy(boxes).to(model.device) / scale)
    model.num_boxes = max(model.num_boxes, len(boxes))
    sampler: Any = copy.copy(model.sampler)
    steps = sampler.num_steps
    first = max(int(START * model.diffusion.num_timesteps), steps)
    # Every pass goes on from the one before it, which the released update does not do for boxes that are nearly right.
    sampler.start, sampler.update, sampler.ensemble = GivenStart(start), DDIMUpdate(), LastPass()
    sampler.renewal = sampler.stop = None
    sampler.times = [first - first * step // steps for step in range(steps)]
    model.sampler = sampler
    last = model.sample(model.encode(model.preprocess([inputs])), [inputs])[-1].prediction
    rows = slice(0, len(boxes))
    found = Boxes(box_cxcywh_to_xyxy(last.boxes[0, rows].float()) * scale)
    found.clip((height, width))
    classes = last.outputs["classes"][0, rows]
    return Instances((height, width), pred_boxes=found, scores=last.confidence[0, rows], pred_classes=classes)
