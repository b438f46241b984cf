"""The picture of one scene's denoising, pass by pass."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from detectron2.structures import Instances
from matplotlib.cm import ScalarMappable

from layers_diffu_detr.ldm.passes import DenoisingPass
from projects.diffu_base.modeling.detector import Detector, trajectories
from tools.visualization.detections import Mapper, evaluating
from tools.visualization.drawing import (
    SCORE_COLORS,
    DatasetDict,
    draw_detections,
    draw_ground_truth,
    draw_scene,
    draw_scored,
)
from tools.visualization.panels import make_panels, save, set_title


def denoising_steps(
    model: Detector,
    dataset_dict: DatasetDict,
    mapper: Mapper,
    path: str | Path,
    *,
    class_names: Sequence[str],
    score_threshold: float = 0.4,
) -> Path:
    """Draws one scene from noise to objects: a column for each DDIM pass, and one for ground truth and detections.

    The upper row shows the boxes that go into a pass, the lower row the boxes that it predicts, both coloured by the
    score of the prediction. For a model with masks, a third row shows the boxes and masks that each pass detects alone.

    Args:
        model: detects in images and tells how the boxes came about.
        dataset_dict, mapper, path, class_names, score_threshold: as in `detections_beside_ground_truth`.

    Returns:
        path.
    """
    inputs = mapper(dataset_dict)
    with evaluating(model):
        passes, instances, by_pass = denoise(model, inputs)
    with_masks = instances.has("pred_masks")
    by_pass = by_pass if with_masks else []
    figure, axes = make_panels(3 if with_masks else 2, len(passes) + 1)
    for column, step in enumerate(passes):
        draw_scored(axes[0, column], dataset_dict, step["boxes"], step["scores"])
        draw_scored(axes[1, column], dataset_dict, step["pred_boxes"], step["scores"])
        going_in = "noise" if column == 0 else "boxes going in"
        set_title(axes[0, column], f"pass {column + 1}, t = {int(step['t'])}: {going_in}")
        set_title(axes[1, column], "boxes predicted from it" if column == 0 else "boxes predicted from them")
    for column, found in enumerate(by_pass):
        style = {"title": f"pass {column + 1} alone"}
        draw_detections(axes[2, column], dataset_dict, found, class_names, score_threshold, **style)
    *free, truth_axes, found_axes = axes[:, -1]
    for panel in free:
        draw_scene(panel, dataset_dict)
        set_title(panel, "scene")
    draw_ground_truth(truth_axes, dataset_dict, class_names, masks=with_masks)
    draw_detections(found_axes, dataset_dict, instances, class_names, score_threshold)
    _add_score_bar(figure, axes[:2, :-1])
    return save(figure, path)


@torch.no_grad()
def denoise(model: Detector, inputs: dict[str, Any]) -> tuple[list[dict[str, Any]], Instances, list[Instances]]:
    """Sample once in an image, with the noise of the sampler's own seed, or of 0 if it has none.

    Returns:
        What every pass was given and predicted, see `trajectories`; what the model detects; and for each pass, what it
        would detect if its ensemble kept this pass alone. Detections have masks if the model has.
    """
    images = model.preprocess([inputs])
    encoded = model.encode(images)
    seed = model.sampler.seed
    model.sampler.seed = 0 if seed is None else seed
    try:
        passes = model.sample(encoded, [inputs])
    finally:
        model.sampler.seed = seed

    def results(of: list[DenoisingPass]) -> Instances:
        return model.results(encoded, of, images, [inputs])[0]["instances"]

    return trajectories(passes, images, [inputs])[0], results(passes), [results([each]) for each in passes]


def _add_score_bar(figure: plt.Figure, axes: np.ndarray) -> None:
    scale = ScalarMappable(cmap=SCORE_COLORS, norm=plt.Normalize(0, 1))
    figure.colorbar(scale, ax=axes, label="score", location="left", shrink=0.6, pad=0.01)
