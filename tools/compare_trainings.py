"""Compares models that were trained several times: mean and deviation over the trainings, as a table and a plot.

    python tools/compare_trainings.py RESULTS... --output-dir DIR [--rows ROW ...]

RESULTS are files ablation.json of tools/ablate.py, in which a model is called "NAME, seed N", once per training. It
writes DIR/trainings.md and DIR/trainings.png. The trainings of a model first average over their own noise seeds.
"""

import argparse
import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import tabulate

from projects.diffu_base.engine.checkpoint import atomic_write
from tools.ablation.results import METRICS, mean_and_deviation
from tools.ablation.subsets import WHOLE

Setting = tuple[str, str]  # model without its seed, row
Trainings = dict[Setting, dict[str, list[float]]]  # setting -> metric -> a value per training


def main(arguments: Sequence[str] | None = None) -> Trainings:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", metavar="RESULTS")
    parser.add_argument("--output-dir", required=True, metavar="DIR")
    parser.add_argument("--rows", nargs="+", default=[], metavar="ROW", help="only these rows; default: all")
    args = parser.parse_args(arguments)
    models: dict[str, Any] = {}
    for file in args.results:
        models.update(json.loads(Path(file).read_text())["models"])
    trainings = by_setting(models, args.rows)
    if not trainings:
        raise SystemExit('error: no model is called "NAME, seed N", or none has the rows')
    folder = Path(args.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    text = table(trainings)
    atomic_write(text + "\n", str(folder / "trainings.md"))
    plot(trainings, folder / "trainings.png")
    print(text)
    return trainings


def by_setting(models: Mapping[str, Any], rows: Sequence[str]) -> Trainings:
    """Gather the trainings of every setting, in the order of the results."""
    trainings: Trainings = defaultdict(lambda: defaultdict(list))
    for model, entry in models.items():
        match = re.fullmatch(r"(.+), seed \d+", model)
        for name, row in entry["rows"].items():
            if match is None or "note" in row or (rows and name not in rows):
                continue
            values = trainings[match[1], name]
            for metric in METRICS:
                values[metric].append(mean_and_deviation(row, WHOLE, metric)[0])
            if "flops" in row:
                values["GFLOPs"].append(row["flops"]["total"] / 1e9)
            if "latency" in row:
                values["ms"].append(1e3 * row["latency"])
    return trainings


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (of a sample) of the trainings; 0 for a single one."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def table(trainings: Trainings) -> str:
    """Every setting as a line in Markdown."""
    lines = []
    for (model, row), values in trainings.items():
        scores = ["{:.1f} ± {:.1f}".format(*spread(values[metric])) for metric in METRICS]
        cost = [f"{np.mean(values[key]):.{n}f}" if values[key] else "-" for key, n in (("GFLOPs", 2), ("ms", 0))]
        lines.append([model, row, len(values["AP"]), *scores, *cost])
    headers = ["model", "setting", "trainings", *METRICS, "GFLOPs", "ms / image"]
    return tabulate.tabulate(lines, headers, tablefmt="github", disable_numparse=True)


def plot(trainings: Trainings, path: Path) -> None:
    """AP over GFLOPs: a colour per model, a point per setting, a bar for the deviation over trainings."""
    figure, axes = plt.subplots(figsize=(8.5, 5.5), layout="constrained")
    colours = {model: f"C{i % 10}" for i, model in enumerate(dict.fromkeys(model for model, _ in trainings))}
    labelled = set()
    for (model, row), values in trainings.items():
        if not values["GFLOPs"]:
            continue
        mean, deviation = spread(values["AP"])
        label = None if model in labelled else model
        labelled.add(model)
        place = float(np.mean(values["GFLOPs"])), mean
        axes.errorbar(*place, yerr=deviation, fmt="o", color=colours[model], label=label, capsize=3)
        axes.annotate(row, place, xytext=(6, -3), textcoords="offset points", fontsize=7, color=colours[model])
    axes.set_xlabel("GFLOPs of an image")
    axes.set_ylabel("AP, mean and deviation over trainings")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, loc="lower right")
    figure.savefig(path, dpi=130)
    plt.close(figure)


if __name__ == "__main__":
    main()
