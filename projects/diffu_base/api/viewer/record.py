"""What a model does in one image, pass by pass, as JSON values for a page."""

import base64
import io
from typing import Any

import numpy as np
import torch
from detectron2.structures import Instances
from PIL import Image
from torch import Tensor

from layers_diffu_detr.ldm.passes import DenoisingPass
from layers_diffu_detr.ldm.renewal import Renewal
from projects.diffu_base.api.predictor import Predictor
from projects.diffu_base.api.settings import Settings, dialled
from projects.diffu_base.modeling.detector import Detector, trajectories

SCALE = 1000  # boxes are whole numbers, in thousandths of the image's width and height
MASK_SIDE = 640  # pixels of the longer side of a picture of masks
MASK_OPACITY = 150  # of 255
# One of these colours for each class, in turn.
COLORS = ("#2f77d0", "#e8710a", "#229954", "#c0392b", "#8e5bd0", "#9c640c", "#d63384", "#5f6a6a", "#a2a41f", "#0ea5a5")


def record(predictor: Predictor, inputs: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Returns one draw of noise: `seed`, `passes` and `result`, what the model detects in the end.

    A pass has its time `t`; `in`, the boxes that the network was given, and `out`, those that it predicted; `classes`
    and `scores`, each query's best; `renewed`, which queries restart from noise afterwards, 0 or 1; and `found`, what
    the pass detects alone. What is detected has `boxes`, each [x, y, w, h, class, score], and `masks`, a picture as
    data URI or None.

    Args:
        predictor: a model with diffusion, and the thresholds of its classes.
        inputs: an input of `Detector.forward`, with `height` and `width`.
        settings: steps, boxes, threshold and the seed.
    """
    model, size = predictor.model, (inputs["height"], inputs["width"])
    keep = predictor.thresholds(settings.threshold)
    kind = model.device.type
    autocast = torch.autocast(kind, dtype=predictor.dtype, enabled=predictor.dtype is not None)
    with torch.no_grad(), autocast, dialled(model, settings):
        images = model.preprocess([inputs])
        encoded = model.encode(images)
        sampled = model.sample(encoded, [inputs])
        (pooled,) = model.results(encoded, sampled, images, [inputs])
        alone = [model.results(encoded, [each], images, [inputs])[0]["instances"] for each in sampled]
        passes = [
            {**_plain(step, size), "renewed": renewed, "found": _found(found, keep, size)}
            for step, renewed, found in zip(
                trajectories(sampled, images, [inputs])[0], _renewed(model, sampled), alone, strict=True
            )
        ]
    return {"seed": settings.seed, "passes": passes, "result": _found(pooled["instances"], keep, size)}


def _renewed(model: Detector, passes: list[DenoisingPass]) -> list[list[int]]:
    """For each pass, which queries restart from noise before the next one; after the last pass none does."""
    renewal: Renewal | None = getattr(model.sampler, "renewal", None)
    assert model.diffusion is not None
    result = []
    for each, following in zip(passes, [*passes[1:], None], strict=True):
        restarts = torch.zeros_like(each.prediction.confidence[0], dtype=torch.bool)
        if renewal is not None and renewal.restarts and following is not None:
            restarts = ~renewal.keep(each, following.t, model.diffusion.num_timesteps)[0]
        valid = each.queries.valid
        result.append(restarts[slice(None) if valid is None else valid[0]].int().tolist())
    return result


def _plain(step: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    """A step of a trajectory as JSON values."""
    scores = [round(score, 3) for score in step["scores"].float().tolist()]
    boxes = {"in": _thousandths(step["boxes"], size), "out": _thousandths(step["pred_boxes"], size)}
    return {"t": int(step["t"]), **boxes, "scores": scores, "classes": step["classes"].tolist()}


def _thousandths(boxes_xyxy_abs: Tensor, size: tuple[int, int]) -> list[list[int]]:
    """Boxes as [x, y, w, h]."""
    height, width = size
    boxes = boxes_xyxy_abs.float().cpu() * SCALE / torch.tensor([width, height, width, height])
    boxes[:, 2:] -= boxes[:, :2]
    return boxes.round().int().tolist()


def _found(instances: Instances, thresholds: Tensor, size: tuple[int, int]) -> dict[str, Any]:
    """Detections from their class's threshold on."""
    instances = instances.to("cpu")
    kept = instances[instances.scores >= thresholds[instances.pred_classes]]
    boxes = _thousandths(kept.pred_boxes.tensor, size)
    labels, scores = kept.pred_classes.tolist(), kept.scores.tolist()
    rows = [[*box, label, round(score, 3)] for box, label, score in zip(boxes, labels, scores, strict=True)]
    masks = _picture(kept.pred_masks.numpy(), labels) if kept.has("pred_masks") else None
    return {"boxes": rows, "masks": masks}


def _picture(masks: np.ndarray, labels: list[int]) -> str:
    """Masks (n, H, W) bool in the colours of their classes on a clear ground, as a data URI; the first lies on top."""
    height, width = masks.shape[1:]
    pixels = np.zeros((height, width, 4), dtype=np.uint8)
    for mask, label in reversed(list(zip(masks, labels, strict=True))):
        color = bytes.fromhex(COLORS[label % len(COLORS)][1:])
        pixels[mask] = (*color, MASK_OPACITY)
    picture = Image.fromarray(pixels, "RGBA")
    picture.thumbnail((MASK_SIDE, MASK_SIDE), Image.Resampling.NEAREST)
    buffer = io.BytesIO()
    picture.quantize(64).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
