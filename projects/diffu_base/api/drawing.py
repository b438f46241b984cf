"""Draws detections on an image."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torchvision.utils import draw_segmentation_masks

# Colours that differ in hue and in lightness (Tol 2021, "bright" and "vibrant"); a class keeps its colour.
COLORS = (
    (68, 119, 170),
    (238, 102, 119),
    (34, 136, 51),
    (204, 187, 68),
    (170, 51, 119),
    (238, 119, 51),
    (0, 153, 136),
    (102, 204, 238),
    (204, 51, 17),
    (187, 187, 187),
)
MASK_OPACITY = 0.5


def drawn(
    image: np.ndarray, boxes: np.ndarray, texts: Sequence[str], labels: np.ndarray, masks: np.ndarray | None = None
) -> np.ndarray:
    """The image with N boxes, their texts and, where given, their masks on it.

    Args:
        image: RGB (H, W, 3) uint8.
        boxes: (N, 4) absolute xyxy, best first; the best are drawn on top.
        texts: (N).
        labels: (N,) int, the classes' numbers, which choose the colours.
        masks: (N, H, W) bool.

    Returns:
        RGB (H, W, 3) uint8.
    """
    order = list(range(len(boxes)))[::-1]
    colors = [COLORS[int(labels[i]) % len(COLORS)] for i in order]
    pixels = np.array(image)  # a copy, which is drawn on
    if masks is not None and order:
        tensor = torch.from_numpy(pixels.transpose(2, 0, 1))
        tensor = draw_segmentation_masks(tensor, torch.from_numpy(masks[order]), MASK_OPACITY, colors)
        pixels = tensor.numpy().transpose(1, 2, 0)
    picture = Image.fromarray(pixels)
    draw = ImageDraw.Draw(picture)
    unit = max(1, round(min(image.shape[:2]) / 300))  # pixels of a line
    font = ImageFont.load_default(size=max(10, 5 * unit))
    for i, color in zip(order, colors, strict=True):
        _draw_box(draw, boxes[i].tolist(), texts[i], color, unit, font)
    return np.asarray(picture)


def _draw_box(
    draw: ImageDraw.ImageDraw, box: Sequence[float], text: str, color: tuple[int, int, int], unit: int, font: Any
) -> None:
    x1, y1, x2, y2 = box
    draw.rectangle((x1, y1, max(x1, x2), max(y1, y2)), outline=color, width=unit)
    left, top, right, bottom = draw.textbbox((x1 + unit, y1 + unit), text, font=font)
    if (height := bottom - y1 + unit) <= y1:  # the text stands above the box if there is room
        left, top, right, bottom = draw.textbbox((x1 + unit, y1 + unit - height), text, font=font)
        y1 -= height
    draw.rectangle((x1, y1, right + unit, bottom + unit), fill=color)
    draw.text((x1 + unit, y1 + unit), text, fill="white", font=font)
