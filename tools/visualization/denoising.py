"""The picture of one scene's denoising, pass by pass."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from detectron2.structures import Instances
from matplotlib.cm import ScalarMappable

from layers_diffu_detr.ldm.ddim import DenoisingPass, Sampler
from projects.diffu_base.modeling.detector import Detector
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
    with evaluating(model), _with_seed(model.sampler):
        passes = model.trajectory([inputs])[0]
        instances = model([inputs])[0]["instances"]
        with_masks = instances.has("pred_masks")
        by_pass = detections_by_pass(model, inputs) if with_masks else []
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


def detections_by_pass(model: Detector, inputs: dict[str, Any]) -> list[Instances]:
    """For each pass, what the model would detect in an image, masks included, if its ensemble kept this pass alone.

    The model runs once for each pass, always from the same noise.
    """
    found = []
    for index in range(model.sampler.num_steps):
        with _with_seed(model.sampler), _replaced(model.sampler, "ensemble", _OnePass(index)):
            found.append(model([inputs])[0]["instances"])
    return found


class _OnePass:
    """An ensemble that keeps the pass `index` alone."""

    def __init__(self, index: int) -> None:
        self.index = index

    def __call__(self, passes: list[DenoisingPass]) -> list[DenoisingPass]:
        return [passes[self.index]]


def _with_seed(sampler: Sampler) -> contextlib.AbstractContextManager[None]:
    """A context in which the sampler draws the same noise in every run: from its own seed, or from 0 if it has none."""
    return _replaced(sampler, "seed", 0 if sampler.seed is None else sampler.seed)


@contextlib.contextmanager
def _replaced(sampler: Sampler, name: str, value: Any) -> Iterator[None]:
    before = getattr(sampler, name)
    setattr(sampler, name, value)
    try:
        yield
    finally:
        setattr(sampler, name, before)


def _add_score_bar(figure: plt.Figure, axes: np.ndarray) -> None:
    scale = ScalarMappable(cmap=SCORE_COLORS, norm=plt.Normalize(0, 1))
    figure.colorbar(scale, ax=axes, label="score", location="left", shrink=0.6, pad=0.01)
