"""Figures that are made of panels."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

PANEL_INCHES = 2.6


def make_panels(rows: int, columns: int) -> tuple[plt.Figure, np.ndarray]:
    """A figure and its panels (rows, columns), without frames."""
    figure, axes = plt.subplots(
        rows, columns, figsize=(PANEL_INCHES * columns, PANEL_INCHES * rows * 1.08), layout="constrained", squeeze=False
    )
    for panel in axes.flat:
        panel.set_axis_off()
    return figure, axes


def set_title(axes: Axes, text: str) -> None:
    axes.set_title(text, fontsize=8.5, pad=3)


def save(figure: plt.Figure, path: str | Path) -> Path:
    """Write the figure and close it; returns `path`, whose folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return path
