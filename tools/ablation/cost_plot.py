"""The plot of AP against cost: against GFLOPs and against milliseconds, a row of panels for each diffusion model."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from tools.ablation.report import Models, panels_of
from tools.ablation.results import mean_and_deviation
from tools.ablation.subsets import WHOLE

COSTS = {"GFLOPs per image": lambda row: row["flops"]["total"] / 1e9, "ms per image": lambda row: 1e3 * row["latency"]}
_NEEDS = {"GFLOPs per image": "flops", "ms per image": "latency"}
_BASELINE_MARKERS = "sD^vPX"


def plot_costs(models: Models, path: Path) -> None:
    """Draw each row of a diffusion model as a point, and the rows of the baselines that follow it.

    The rows that no cheaper row equals are joined, numbered and named; the others are grey. Rows far below all of these
    are left out.
    """
    panels = panels_of(models)
    figure, axes = plt.subplots(
        len(panels), len(COSTS), figsize=(13, 0.8 + 6.4 * len(panels)), squeeze=False, layout="constrained"
    )
    for row_of_axes, (model, baselines) in zip(axes, panels, strict=True):
        for panel, cost in zip(row_of_axes, COSTS, strict=True):
            found = points(models[model]["rows"], cost)
            compared = [
                (f"{each}, {name}", x, y) for each in baselines for name, x, y in points(models[each]["rows"], cost)
            ]
            _draw(panel, found, compared)
            panel.set_title(model, fontsize=11)
            panel.set_xlabel(cost)
            panel.set_ylabel("AP")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def points(rows: dict[str, Any], cost: str) -> list[tuple[str, float, float]]:
    """Name, cost and mean AP of the rows that have both, cheapest first."""
    found = []
    for name, row in rows.items():
        ap, _ = mean_and_deviation(row, WHOLE, "AP")
        if _NEEDS[cost] in row and not np.isnan(ap):
            found.append((name, float(COSTS[cost](row)), ap))
    return sorted(found, key=lambda point: (point[1], -point[2]))


def front(found: list[tuple[str, float, float]]) -> list[tuple[str, float, float]]:
    """The points, of those from `points`, that have a higher AP than all that cost less."""
    best: list[tuple[str, float, float]] = []
    for point in found:
        if not best or point[2] > best[-1][2]:
            best.append(point)
    return best


def _draw(panel: Axes, found: list[tuple[str, float, float]], compared: list[tuple[str, float, float]]) -> None:
    panel.plot([x for _, x, _ in found], [y for *_, y in found], "o", color="0.7", ms=5)
    best = front(found)
    panel.step([x for _, x, _ in best], [y for *_, y in best], where="post", color="tab:blue", lw=1)
    for i, (name, x, y) in enumerate(best, start=1):
        panel.plot(x, y, "o", color="tab:blue", ms=6, label=f"{i}: {name}, {y:.1f}")
        panel.annotate(str(i), (x, y), xytext=(-3, 6), textcoords="offset points", fontsize=8, color="tab:blue")
    for i, (name, x, y) in enumerate(compared):
        marker, inside = _BASELINE_MARKERS[i // 2 % len(_BASELINE_MARKERS)], "tab:red" if i % 2 else "none"
        panel.plot(x, y, marker, color="tab:red", mfc=inside, ms=7, ls="", label=f"{name}, {y:.1f}")
    if shown := [y for *_, y in (*best, *compared)]:
        panel.set_ylim(min(shown) - 2, max(shown) + 2)
    panel.grid(alpha=0.3)
    if best or compared:
        panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.1), frameon=False)
