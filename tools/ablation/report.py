"""The results of an ablation as a table in Markdown and as a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from tools.ablation.results import MASK, METRICS, mean_and_deviation
from tools.ablation.subsets import CROWDED, SPARSE, WHOLE

Models = dict[str, Any]  # see `tools.ablation.results.Results.models`
# What a row of the table shows: part of the images, and metric.
COLUMNS = (*((WHOLE, metric) for metric in METRICS), (CROWDED, "AP"), (SPARSE, "AP"))
MARKERS = {
    (WHOLE, "AP"): ("all images", "o", "tab:blue", 7),
    (CROWDED, "AP"): ("crowded", "v", "tab:orange", 5),
    (SPARSE, "AP"): ("sparse", "^", "tab:green", 5),
}
MASK_MARKERS = {(WHOLE, MASK + "AP"): ("masks, all images", "D", "tab:purple", 6)}
BASELINE_COLORS = {"AP": "tab:red", MASK + "AP": "tab:purple"}
LINES = ((0, (1, 2)), "--", "-.", (0, (5, 1, 1, 1, 1, 1)))


def markdown(models: Models) -> str:
    """All models and rows as one table, with notes on how the numbers were measured."""
    titles = [metric if part == WHOLE else f"{metric} {part}" for part, metric in COLUMNS]
    values = COLUMNS
    if _have_masks(models):
        titles = [f"box {title}" for title in titles] + [MASK + title for title in titles]
        values = (*COLUMNS, *((part, MASK + metric) for part, metric in COLUMNS))
    titles = ["model", "setting", *titles, "ms / image", "GFLOPs"]
    lines = [titles, ["---", "---", *["---:"] * (len(titles) - 2)]]
    notes = []
    for name, model in models.items():
        lines += [[name, setting, *_cells(row, values)] for setting, row in model["rows"].items() if "note" not in row]
        notes += [f"{name}, {setting}: {row['note']}" for setting, row in model["rows"].items() if "note" in row]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = [*_facts(models), *(f"Not possible: {note}" for note in notes)]
    return text + "\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _have_masks(models: Models) -> bool:
    rows = (row for model in models.values() for row in model["rows"].values())
    return any(MASK + "AP" in run.get(WHOLE, {}) for row in rows for run in row["runs"].values())


def _cells(row: dict[str, Any], values: Sequence[tuple[str, str]]) -> list[str]:
    latency = f"{1e3 * row['latency']:.0f}" if "latency" in row else "-"
    flops = f"{row['flops']['total'] / 1e9:.2f}" if "flops" in row else "-"
    return [*(_with_deviation(row, *value) for value in values), latency, flops]


def _with_deviation(row: dict[str, Any], part: str, metric: str) -> str:
    mean, deviation = mean_and_deviation(row, part, metric)
    if np.isnan(mean):
        return "-"
    return f"{mean:.1f}" if deviation is None else f"{mean:.1f} ± {deviation:.1f}"


def _facts(models: Models) -> list[str]:
    about = [model["about"] for model in models.values()]
    scenes = {
        f"{a['dataset']}, {a['images'][WHOLE]} images; crowded: more than {a['crowded_above']:g} objects "
        f"({a['images'].get(CROWDED, 0)} images), sparse: the others ({a['images'].get(SPARSE, 0)})"
        for a in about
    }
    rows = [row for model in models.values() for row in model["rows"].values()]
    seeds = sorted({seed for row in rows for seed in row["runs"]} - {"none"}, key=int)
    facts = [f"Images: {text}." for text in sorted(scenes)]
    facts.append(
        f"± is the standard deviation over noise seeds ({', '.join(seeds)}) of one trained model, not over trainings "
        "or images; baselines have no noise."
    )
    sizes = sorted({"x".join(map(str, row["flops"]["size"])) for row in rows if "flops" in row})
    if sizes:
        facts.append(f"GFLOPs: of the first image ({', '.join(sizes)}), a multiply-add counted once.")
    timed = sorted({model["timed"] for model in models.values() if "timed" in model})
    facts += [f"ms / image: median, one image at a time, all settings of a model in turn: {how}." for how in timed]
    return facts


def plot(models: Models, path: Path) -> None:
    """Draw the AP of every row, in a panel for each diffusion model. The baselines that follow it are lines there."""
    panels = panels_of(models)
    names = list(dict.fromkeys(name for first, _ in panels for name in models[first]["rows"]))
    markers = {**MARKERS, **(MASK_MARKERS if _have_masks(models) else {})}
    size = (1.2 + 4.2 * len(panels), 1.9 + 0.34 * len(names))
    figure, axes = plt.subplots(1, len(panels), figsize=size, sharey=True, squeeze=False, layout="constrained")
    for panel, (first, baselines) in zip(axes[0], panels, strict=True):
        _draw_settings(panel, models[first]["rows"], names, markers)
        lines = [line for name in baselines for line in _draw_baseline(panel, name, models[name]["rows"])]
        panel.set_title(first, fontsize=11)
        panel.set_xlabel("AP")
        panel.grid(axis="x", alpha=0.3)
        if lines:
            panel.legend(handles=lines, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), frameon=False)
    axes[0, 0].set_yticks(range(len(names)), names, fontsize=9)
    axes[0, 0].set_ylim(len(names) - 0.5, -0.5)
    handles = [Line2D([], [], marker=m, color=c, ls="", ms=s, label=text) for text, m, c, s in markers.values()]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def panels_of(models: Models) -> list[tuple[str, list[str]]]:
    """Each diffusion model with the baselines that follow it. A baseline that comes first has a panel, too."""
    panels: list[tuple[str, list[str]]] = []
    for name, model in models.items():
        if model["about"]["diffusion"] or not panels:
            panels.append((name, []))
        else:
            panels[-1][1].append(name)
    return panels


def _draw_settings(axes: Axes, rows: dict[str, Any], names: list[str], markers: dict[tuple[str, str], tuple]) -> None:
    for y, name in enumerate(names):
        row = rows.get(name)
        if row is None or "note" in row:
            axes.text(
                0.02, y, "not possible" if row else "not measured", transform=axes.get_yaxis_transform(), fontsize=8
            )
            continue
        for value in reversed(markers):
            mean, deviation = mean_and_deviation(row, *value)
            _, marker, color, size = markers[value]
            axes.errorbar(mean, y, xerr=deviation, fmt=marker, color=color, ms=size, capsize=3)


def _draw_baseline(axes: Axes, model: str, rows: dict[str, Any]) -> list[Line2D]:
    lines = []
    for style, (name, row) in zip(LINES, rows.items(), strict=False):
        for metric, color in BASELINE_COLORS.items():
            mean, _ = mean_and_deviation(row, WHOLE, metric)
            if not np.isnan(mean):
                text = f"{model}, {name}: {metric.removesuffix('AP')}{mean:.1f}"
                lines.append(axes.axvline(mean, ls=style, color=color, lw=1.4, label=text))
    return lines
