"""Draws detections, the denoising of one scene, and training curves.

`python tools/visualize.py --config-file CONFIG --checkpoint MODEL --output-dir DIR [key=value ...]`
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.cm import ScalarMappable  # noqa: E402
from matplotlib.patches import Rectangle  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from detectron2.config import instantiate  # noqa: E402
from detectron2.data import MetadataCatalog  # noqa: E402
from detectron2.data.detection_utils import read_image  # noqa: E402
from detectron2.structures import BoxMode  # noqa: E402

from tools.engine.config import load_config  # noqa: E402
from tools.engine.evaluation import build_model, load_for_eval  # noqa: E402

DatasetDict = dict[str, Any]
Mapper = Callable[[DatasetDict], DatasetDict]

# Bright at both ends, so that boxes of low score are seen on dark photographs.
SCORE_COLORS = matplotlib.colormaps["cool"]
CLASS_COLORS = matplotlib.colormaps["tab10"]
# A COCO model has hundreds of queries; more boxes than this hide the picture.
MAX_BOXES_PER_PANEL = 100
PANEL_INCHES = 2.6


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
    figure, axes = _panels(rows, 2 * pairs_per_row)
    for i, scene in enumerate(chosen):
        truth_axes, found_axes = axes[i // pairs_per_row, 2 * (i % pairs_per_row) :][:2]
        _draw_ground_truth(truth_axes, scene, class_names)
        with _evaluating(model):
            instances = model([mapper(scene)])[0]["instances"]
        _draw_detections(found_axes, scene, instances, class_names, score_threshold)
    return _save(figure, path)


def denoising_steps(
    model: torch.nn.Module,
    dataset_dict: DatasetDict,
    mapper: Mapper,
    path: str | Path,
    *,
    class_names: Sequence[str],
    score_threshold: float = 0.4,
) -> Path:
    """Draws one scene from noise to objects: per DDIM pass the boxes going in above and the predicted ones below.

    Boxes are coloured by the score of the prediction made from them. The last column holds ground truth and detections.

    Args:
        model: has `trajectory(batched_inputs)`, per image a list of passes with "t", "boxes" and "pred_boxes" (Q, 4)
            absolute xyxy of the image in its original size, and "scores" (Q,); and is callable like a detector.
        dataset_dict, mapper, path, class_names, score_threshold: as in `detections_beside_ground_truth`.

    Returns:
        path.
    """
    inputs = mapper(dataset_dict)
    with _evaluating(model):
        passes = model.trajectory([inputs])[0]
        instances = model([inputs])[0]["instances"]
    figure, axes = _panels(2, len(passes) + 1)
    for column, step in enumerate(passes):
        above, below = axes[:, column]
        _draw_scored(above, dataset_dict, step["boxes"], step["scores"])
        _draw_scored(below, dataset_dict, step["pred_boxes"], step["scores"])
        going_in = "noise" if column == 0 else "boxes going in"
        _title(above, f"pass {column + 1}, t = {int(step['t'])}: {going_in}")
        _title(below, "boxes predicted from it" if column == 0 else "boxes predicted from them")
    _draw_ground_truth(axes[0, -1], dataset_dict, class_names)
    _draw_detections(axes[1, -1], dataset_dict, instances, class_names, score_threshold)
    scale = ScalarMappable(cmap=SCORE_COLORS, norm=plt.Normalize(0, 1))
    figure.colorbar(scale, ax=axes[:, :-1], label="score", location="left", shrink=0.6, pad=0.01)
    return _save(figure, path)


def training_curves(metrics_file: str | Path, path: str | Path) -> Path:
    """Draws total loss and box AP over iterations.

    Args:
        metrics_file: detectron2's metrics.json, one JSON object per line. Iterations written twice, as after an
            interruption, count as last written.
        path: PNG file to write.

    Returns:
        path.

    Raises:
        ValueError: the file holds no loss.
    """
    losses = _series(metrics_file, "total_loss")
    aps = _series(metrics_file, "bbox/AP")
    if not losses:
        raise ValueError(f"{metrics_file} holds no total_loss; it must be the metrics.json of a training run")
    figure, (loss_axes, ap_axes) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    loss_axes.plot(list(losses), list(losses.values()), color="tab:blue", linewidth=1.2)
    loss_axes.set(xlabel="iteration", ylabel="total loss", title="Training loss")
    # The first losses are many times the last ones; a log scale keeps the end readable.
    loss_axes.set_yscale("log")
    for set_formatter in (loss_axes.yaxis.set_major_formatter, loss_axes.yaxis.set_minor_formatter):
        set_formatter("{x:g}")
    ap_axes.plot(list(aps), list(aps.values()), color="tab:red", marker="o", markersize=4, linewidth=1.2)
    for iteration, ap in aps.items():
        offset = {"textcoords": "offset points", "xytext": (0, 6), "ha": "center", "fontsize": 8}
        ap_axes.annotate(f"{ap:.1f}", (iteration, ap), **offset)
    ap_axes.set(xlabel="iteration", ylabel="box AP", title="Validation box AP", xlim=loss_axes.get_xlim())
    ap_axes.set_ylim(0, max([10, *aps.values()]) * 1.15)
    for axes in (loss_axes, ap_axes):
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    return _save(figure, path)


def _series(metrics_file: str | Path, key: str) -> dict[int, float]:
    found = {}
    for line in Path(metrics_file).read_text().splitlines():
        record = json.loads(line) if line.strip() else {}
        if key in record and np.isfinite(record[key]):
            found[int(record["iteration"])] = float(record[key])
    return dict(sorted(found.items()))


@contextlib.contextmanager
def _evaluating(model: torch.nn.Module) -> Iterator[None]:
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


def _panels(rows: int, columns: int) -> tuple[plt.Figure, np.ndarray]:
    figure, axes = plt.subplots(
        rows, columns, figsize=(PANEL_INCHES * columns, PANEL_INCHES * rows * 1.08), layout="constrained", squeeze=False
    )
    for panel in axes.flat:
        panel.set_axis_off()
    return figure, axes


def _save(figure: plt.Figure, path: str | Path) -> Path:
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path


def _show(axes: Axes, scene: DatasetDict) -> None:
    """Shows the image under coordinates in which (0, 0) is its upper left corner, as boxes have them."""
    image = read_image(scene["file_name"], format="RGB")
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="bicubic")
    axes.set(xlim=(0, width), ylim=(height, 0))


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=8.5, pad=3)


def _draw_box(axes: Axes, box: Sequence[float], color: Any, *, label: str = "", linewidth: float = 1.6) -> None:
    x0, y0, x1, y1 = (float(v) for v in box)
    axes.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, edgecolor=color, linewidth=linewidth))
    if label:
        plate = {"facecolor": color, "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
        # Above the box, or inside it where the image ends.
        va = "top" if y0 < 0.06 * axes.get_ylim()[0] else "bottom"
        axes.text(x0, y0, label, fontsize=6.5, color="white", va=va, bbox=plate, clip_on=True)


def _draw_ground_truth(axes: Axes, scene: DatasetDict, class_names: Sequence[str]) -> None:
    _show(axes, scene)
    annotations = [a for a in scene.get("annotations", []) if not a.get("iscrowd", 0)]
    for annotation in annotations:
        box = BoxMode.convert(list(annotation["bbox"]), annotation["bbox_mode"], BoxMode.XYXY_ABS)
        label = annotation["category_id"]
        _draw_box(axes, box, CLASS_COLORS(label % 10), label=class_names[label])
    _title(axes, f"ground truth: {len(annotations)}")


def _draw_detections(
    axes: Axes, scene: DatasetDict, instances: Any, class_names: Sequence[str], score_threshold: float
) -> None:
    _show(axes, scene)
    instances = instances.to("cpu")
    kept = instances[instances.scores > score_threshold]
    for box, score, label in zip(kept.pred_boxes.tensor, kept.scores, kept.pred_classes.tolist(), strict=True):
        _draw_box(axes, box, CLASS_COLORS(label % 10), label=f"{class_names[label]} {score:.2f}")
    _title(axes, f"detections, score > {score_threshold:g}: {len(kept)}")


def _draw_scored(axes: Axes, scene: DatasetDict, boxes: torch.Tensor, scores: torch.Tensor) -> None:
    _show(axes, scene)
    # Ascending, so that the best are drawn on top.
    for i in scores.argsort()[-MAX_BOXES_PER_PANEL:].tolist():
        score = float(scores[i])
        _draw_box(axes, boxes[i].tolist(), SCORE_COLORS(score), linewidth=0.6 + 1.2 * score)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="a LazyConfig with `model` and `dataloader`")
    parser.add_argument("--checkpoint", required=True, help="weights of that model")
    parser.add_argument("--output-dir", required=True, help="folder for the pictures")
    parser.add_argument("--metrics", help="metrics.json of the training run; default: beside the checkpoint, if there")
    parser.add_argument("--num-gpus", type=int, default=1, help="0 draws on the CPU")
    parser.add_argument("--num-scenes", type=int, default=8)
    parser.add_argument("--scene", type=int, default=0, help="index of the scene whose denoising is drawn")
    parser.add_argument("--score-threshold", type=float, default=0.4)
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. model.sampler.num_steps=5")
    args = parser.parse_args(arguments)

    try:
        cfg = load_config(args)
        cfg.train.init_checkpoint = args.checkpoint
        model = build_model(cfg)
        load_for_eval(cfg, model)  # the averaged weights where the config evaluates them
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error

    names = instantiate(cfg.dataloader.test.dataset.names)
    scenes, mapper = instantiate(cfg.dataloader.test.dataset), instantiate(cfg.dataloader.test.mapper)
    style = {"class_names": MetadataCatalog.get(names).thing_classes, "score_threshold": args.score_threshold}
    output = Path(args.output_dir)
    written = [
        detections_beside_ground_truth(
            model, scenes, mapper, output / "detections.png", num_scenes=args.num_scenes, **style
        )
    ]
    if cfg.model.get("diffusion") is not None:
        written.append(denoising_steps(model, scenes[args.scene], mapper, output / "denoising.png", **style))
    metrics = Path(args.metrics) if args.metrics else Path(args.checkpoint).parent / "metrics.json"
    if args.metrics or metrics.is_file():
        written.append(training_curves(metrics, output / "training.png"))
    for path in written:
        print(path)


if __name__ == "__main__":
    main()
