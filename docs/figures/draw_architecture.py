"""Draws docs/figures/architecture.png: `python docs/figures/draw_architecture.py`."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

ONCE, PER_PASS, DIFFUSION = "#dbe9f6", "#fde3c8", "#e4dcf1"
EDGE = "#444444"


def box(axes, x, y, width, height, title, detail, color):
    axes.add_patch(FancyBboxPatch((x, y), width, height, boxstyle="round,pad=0.04", facecolor=color, edgecolor=EDGE))
    axes.text(x + width / 2, y + height * 0.66, title, ha="center", va="center", fontsize=10, fontweight="bold")
    axes.text(x + width / 2, y + height * 0.27, detail, ha="center", va="center", fontsize=7.8, color="#333333")


def arrow(axes, start, end, label="", bend=0.0, offset=(0, 0.12)):
    style = f"arc3,rad={bend}"
    axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=EDGE, connectionstyle=style))
    middle = ((start[0] + end[0]) / 2 + offset[0], (start[1] + end[1]) / 2 + offset[1])
    axes.text(*middle, label, ha="center", va="center", fontsize=7.8, color=EDGE)


def boxes_panel(axes, x, y, side, spread, title):
    """A picture of boxes between noise (spread 1) and two objects (spread 0)."""
    rng = np.random.default_rng(3)
    axes.add_patch(Rectangle((x, y), side, side, facecolor="white", edgecolor=EDGE, linewidth=0.8))
    objects = np.array([[0.3, 0.6, 0.34, 0.4], [0.68, 0.36, 0.36, 0.3]])
    for i in range(14):
        noise = np.concatenate([rng.uniform(0.2, 0.8, 2), rng.uniform(0.15, 0.5, 2)])
        cx, cy, w, h = (1 - spread) * objects[i % 2] + spread * noise
        left, bottom = max(cx - w / 2, 0.02), max(cy - h / 2, 0.02)
        right, top = min(cx + w / 2, 0.98), min(cy + h / 2, 0.98)
        rectangle = Rectangle((x + left * side, y + bottom * side), (right - left) * side, (top - bottom) * side)
        rectangle.set(fill=False, edgecolor=plt.get_cmap("cool")(1 - spread), linewidth=0.9)
        axes.add_patch(rectangle)
    axes.text(x + side / 2, y - 0.16, title, ha="center", va="top", fontsize=7.8)


figure, axes = plt.subplots(figsize=(11, 4.7), layout="constrained")
axes.set(xlim=(0, 13.2), ylim=(0, 5.6))
axes.set_axis_off()

box(axes, 0.1, 4.0, 1.7, 1.0, "images", "B × 3 × H × W", "white")
box(axes, 2.4, 4.0, 2.1, 1.0, "backbone, neck", "4 levels, C channels", ONCE)
box(axes, 5.1, 4.0, 2.1, 1.0, "encoder", "memory: S × C tokens", ONCE)
box(axes, 7.8, 4.0, 2.3, 1.0, "proposals", "best Q tokens", ONCE)
box(axes, 10.8, 4.0, 2.2, 1.0, "criterion", "training only", "white")
box(
    axes,
    5.1,
    1.85,
    5.0,
    1.15,
    "decoder with timestep t",
    "6 layers: self-attention, deformable attention, FFN; refine boxes",
    PER_PASS,
)
box(
    axes,
    0.1,
    1.85,
    2.6,
    1.15,
    "diffusion",
    "training: ground truth + noise at t\ninference: noise at t = T - 1",
    DIFFUSION,
)
box(axes, 10.8, 1.85, 2.2, 1.15, "ensemble, NMS", "detections of all passes", "white")

arrow(axes, (1.85, 4.5), (2.35, 4.5))
arrow(axes, (4.55, 4.5), (5.05, 4.5))
arrow(axes, (7.25, 4.5), (7.75, 4.5))
arrow(axes, (6.15, 3.95), (6.15, 3.08), "values, once", offset=(-0.62, 0))
arrow(axes, (8.95, 3.95), (8.95, 3.08), "content queries", offset=(0.78, 0))
arrow(axes, (2.78, 2.42), (5.05, 2.42), "reference boxes, t")
arrow(axes, (10.15, 2.42), (10.75, 2.42))
arrow(axes, (10.15, 2.85), (11.9, 3.95), "losses", offset=(0.5, -0.05))
arrow(
    axes,
    (7.6, 1.8),
    (1.4, 1.8),
    "DDIM step, renewal: boxes of the next pass (3 by default)",
    bend=-0.16,
    offset=(1.6, -0.85),
)

for x, spread, title in ((0.15, 1.0, "t = 99"), (1.35, 0.55, "t = 66"), (2.55, 0.22, "t = 33"), (10.9, 0.03, "boxes")):
    boxes_panel(axes, x, 0.2 if x < 10 else 0.4, 0.95, spread, title)

for x, color, text in ((4.0, ONCE, "once per image"), (6.3, PER_PASS, "once per pass")):
    axes.add_patch(Rectangle((x, 5.3), 0.25, 0.2, facecolor=color, edgecolor=EDGE))
    axes.text(x + 0.35, 5.4, text, fontsize=8.5, va="center")

figure.savefig(Path(__file__).with_name("architecture.png"), dpi=130)
