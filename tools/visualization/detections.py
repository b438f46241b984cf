"""The picture of detections beside ground truth."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from tools.visualization.drawing import DatasetDict, draw_detections, draw_ground_truth
from tools.visualization.panels import make_panels, save

Mapper = Callable[[DatasetDict], DatasetDict]


def detections_beside_ground_truth(
    model: torch.nn.Module,
    dataset_dicts: Sequence[DatasetDict],
    mapper: Mapper,
    path: str | Path,
    *,
    class_names: Sequence[str],
    num_scenes: int = 8,
    score_threshold: float = 0.4,
) -> Path:
    """Draws pairs of panels, ground truth left and detections right, for scenes spread evenly over the data set.

    Masks are drawn where the model has them.

    Args:
        model: takes detectron2's batched inputs and returns [{"instances": Instances}].
        dataset_dicts: detectron2 dataset dicts with annotations.
        mapper: from dataset dict to model input, for inference.
        path: PNG file to write.
        class_names: by contiguous class id.
        num_scenes: how many scenes, at most as many as there are.
        score_threshold: detections below it are not drawn.

    Returns:
        path.

    Raises:
        ValueError: there is no scene to draw.
    """
    chosen = _spread(dataset_dicts, num_scenes)
    pairs_per_row = 2 if len(chosen) > 1 else 1
    rows = -(-len(chosen) // pairs_per_row)
    figure, axes = make_panels(rows, 2 * pairs_per_row)
    for i, scene in enumerate(chosen):
        truth_axes, found_axes = axes[i // pairs_per_row, 2 * (i % pairs_per_row) :][:2]
        with evaluating(model):
            instances = model([mapper(scene)])[0]["instances"]
        draw_ground_truth(truth_axes, scene, class_names, masks=instances.has("pred_masks"))
        draw_detections(found_axes, scene, instances, class_names, score_threshold)
    return save(figure, path)


@contextlib.contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """A context in which the model is in evaluation mode, without gradients. At its end the old mode is restored."""
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)


def _spread(dataset_dicts: Sequence[DatasetDict], count: int) -> list[DatasetDict]:
    if not dataset_dicts or count < 1:
        raise ValueError(f"{count} of {len(dataset_dicts)} scenes were asked for; at least 1 of 1 is needed")
    indices = np.linspace(0, len(dataset_dicts) - 1, min(count, len(dataset_dicts))).round().astype(int)
    return [dataset_dicts[i] for i in indices]
