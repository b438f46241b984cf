"""What is drawn on a panel: a scene, boxes, masks, labels."""

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import pycocotools.mask as mask_util
import torch
from detectron2.data.detection_utils import read_image
from detectron2.structures import BoxMode, Instances
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle

from tools.visualization.panels import set_title

DatasetDict = dict[str, Any]

# The colours are bright at both ends, so that boxes of low score can be seen on dark photographs.
SCORE_COLORS = matplotlib.colormaps["cool"]
CLASS_COLORS = matplotlib.colormaps["tab10"]
# A COCO model has hundreds of queries; more boxes than this hide the picture.
MAX_BOXES_PER_PANEL = 100
MASK_OPACITY = 0.55


def draw_scene(axes: Axes, scene: DatasetDict) -> None:
    """Shows the image so that the coordinates of boxes, with (0, 0) in its upper left corner, fit on it."""
    image = read_image(scene["file_name"], format="RGB")
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="bicubic")
    axes.set(xlim=(0, width), ylim=(height, 0))


def draw_ground_truth(axes: Axes, scene: DatasetDict, class_names: Sequence[str], *, masks: bool) -> None:
    """Draws the boxes and classes of the annotations, and with `masks` their masks. Crowd regions are left out."""
    draw_scene(axes, scene)
    annotations = [a for a in scene.get("annotations", []) if not a.get("iscrowd", 0)]
    labels = [annotation["category_id"] for annotation in annotations]
    if masks:
        draw_masks(axes, annotated_masks(annotations, scene), [CLASS_COLORS(label % 10) for label in labels])
    for annotation, label in zip(annotations, labels, strict=True):
        box = BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS)
        _draw_box(axes, box, CLASS_COLORS(label % 10), label=class_names[label])
    set_title(axes, f"ground truth: {len(annotations)}")


def annotated_masks(annotations: Sequence[dict[str, Any]], scene: DatasetDict) -> np.ndarray:
    """The annotations' `segmentation`, polygons or run lengths, as masks (n, H, W) bool.

    An annotation without `segmentation` has an empty mask.
    """
    height, width = scene["height"], scene["width"]
    masks = np.zeros((len(annotations), height, width), dtype=bool)
    for mask, annotation in zip(masks, annotations, strict=True):
        if segmentation := annotation.get("segmentation"):
            if isinstance(segmentation, list) or isinstance(segmentation["counts"], list):
                segmentation = mask_util.frPyObjects(segmentation, height, width)
            lengths = mask_util.merge(segmentation) if isinstance(segmentation, list) else segmentation
            mask[:] = mask_util.decode(lengths)
    return masks


def draw_detections(
    axes: Axes,
    scene: DatasetDict,
    instances: Instances,
    class_names: Sequence[str],
    score_threshold: float,
    *,
    title: str = "detections",
) -> None:
    """Draws the detections above the threshold, the best on top: boxes, classes, scores and, if it has them, masks."""
    draw_scene(axes, scene)
    instances = instances[instances.scores > score_threshold].to("cpu")
    kept = instances[instances.scores.argsort(stable=True)]
    colors = [CLASS_COLORS(label % 10) for label in kept.pred_classes.tolist()]
    if kept.has("pred_masks"):
        draw_masks(axes, kept.pred_masks.numpy(), colors)
    columns = (kept.pred_boxes.tensor, kept.scores, kept.pred_classes.tolist(), colors)
    for box, score, label, color in zip(*columns, strict=True):
        _draw_box(axes, box, color, label=f"{class_names[label]} {score:.2f}")
    set_title(axes, f"{title}, score > {score_threshold:g}: {len(kept)}")


def draw_masks(axes: Axes, masks: np.ndarray, colors: Sequence[Any]) -> None:
    """Lays masks (n, H, W) bool over a scene of H × W pixels, the last on top.

    A white outline separates a mask from what it covers, whatever the colours, and from a neighbour of its class.
    """
    height, width = masks.shape[1:]
    overlay = np.zeros((height, width, 4))
    # One more row and column on each side close the outline of a mask that the image cuts off. A pixel's value lies in
    # its middle, hence the 0.5.
    x, y = np.arange(-1, width + 1) + 0.5, np.arange(-1, height + 1) + 0.5
    for mask, color in zip(masks, colors, strict=True):
        overlay[mask] = (*to_rgb(color), MASK_OPACITY)
        if mask.any():
            above_images = 0.5  # the zorder of images is 0, that of boxes is higher
            axes.contour(x, y, np.pad(mask, 1), [0.5], colors="white", linewidths=0.9, zorder=above_images)
    axes.imshow(overlay, extent=(0, width, height, 0), interpolation="nearest")


def draw_scored(axes: Axes, scene: DatasetDict, boxes: torch.Tensor, scores: torch.Tensor) -> None:
    """Draws boxes (Q, 4), absolute xyxy, in the colours of their scores (Q,)."""
    draw_scene(axes, scene)
    # The order is ascending, so that the best are drawn on top.
    for i in scores.argsort()[-MAX_BOXES_PER_PANEL:].tolist():
        score = float(scores[i])
        _draw_box(axes, boxes[i].tolist(), SCORE_COLORS(score), linewidth=0.6 + 1.2 * score)


def _draw_box(axes: Axes, box: Sequence[float], color: Any, *, label: str = "", linewidth: float = 1.6) -> None:
    x0, y0, x1, y1 = (float(v) for v in box)
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=linewidth))
    if label:
        plate = {"facecolor": color, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
        # The label stands above the box, or inside it where there is no room above.
        va = "top" if y0 < 0.06 * axes.get_ylim()[0] else "bottom"
        axes.text(x0, y0, label, fontsize=6.5, color="white", va=va, bbox=plate, clip_on=True)
