"""The curves of a training."""

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from tools.visualization.panels import save


def training_curves(metrics_file: str | Path, path: str | Path) -> Path:
    """Draws total loss, box AP and, where it was measured, mask AP over iterations.

    Args:
        metrics_file: detectron2's metrics.json, one JSON object per line. An iteration that was written twice, before
            and after an interruption, has the values written last.
        path: PNG file to write.

    Returns:
        path.

    Raises:
        ValueError: the file holds no loss.
    """
    losses = _series(metrics_file, "total_loss")
    if not losses:
        raise ValueError(f"{metrics_file} holds no total_loss; it must be the metrics.json of a training run")
    figure, (loss_axes, ap_axes) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    loss_axes.plot(list(losses), list(losses.values()), color="tab:blue", linewidth=1.2)
    loss_axes.set(xlabel="iteration", ylabel="total loss", title="Training loss")
    # The first losses are many times as large as the last ones; a log scale keeps the end readable.
    loss_axes.set_yscale("log")
    for set_formatter in (loss_axes.yaxis.set_major_formatter, loss_axes.yaxis.set_minor_formatter):
        set_formatter("{x:g}")
    aps = {name: _series(metrics_file, f"{task}/AP") for name, task in (("box AP", "bbox"), ("mask AP", "segm"))}
    for (name, values), color in zip(aps.items(), ("tab:red", "tab:purple"), strict=True):
        _draw_ap(ap_axes, values, name, color)
    label = "box AP"
    if aps["mask AP"]:
        label = "AP"
        ap_axes.legend()
    ap_axes.set(xlabel="iteration", ylabel=label, title=f"Validation {label}", xlim=loss_axes.get_xlim())
    ap_axes.set_ylim(0, max([10, *aps["box AP"].values(), *aps["mask AP"].values()]) * 1.15)
    for axes in (loss_axes, ap_axes):
        axes.grid(alpha=0.3, which="both")
        axes.spines[["top", "right"]].set_visible(False)
    return save(figure, path)


def _draw_ap(axes: Axes, aps: dict[int, float], name: str, color: str) -> None:
    axes.plot(list(aps), list(aps.values()), color=color, marker="o", markersize=4, linewidth=1.2, label=name)
    for iteration, ap in aps.items():
        text, above = f"{ap:.1f}", (0, 6)
        axes.annotate(text, (iteration, ap), xytext=above, textcoords="offset points", ha="center", fontsize=8)


def _series(metrics_file: str | Path, key: str) -> dict[int, float]:
    found = {}
    for line in Path(metrics_file).read_text().splitlines():
        record = json.loads(line) if line.strip() else {}
        if key in record and np.isfinite(record[key]):
            found[int(record["iteration"])] = float(record[key])
    return dict(sorted(found.items()))
