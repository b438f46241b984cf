"""Counts a model's parameters and FLOPs, by module and by number of decoder evaluations.

    python tools/analyze_model.py --config-file CONFIG [--size 800 1333] [--steps 1 3 5] [--depth 2] [key=value ...]
    python tools/analyze_model.py --config-file CONFIG --num-images 100

The first counts for one image of a size, the second the mean over the first images of the config's test data set. One
multiply-add counts as one FLOP, as fvcore and the papers count. Runs on the CPU; weights do not matter.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np  # noqa: E402
from detectron2.config import instantiate  # noqa: E402
from omegaconf import DictConfig  # noqa: E402
from torch import nn  # noqa: E402

from projects.diffu_base.config.checks import load_config  # noqa: E402
from projects.diffu_base.engine.build import build_model  # noqa: E402
from tools.measuring.flops import CONVENTION, FlopCount, count_flops, count_parameters, may_multiply  # noqa: E402
from tools.measuring.measure import (  # noqa: E402
    checked_size,
    describe_environment,
    evaluations_to_measure,
    parse_arguments,
    random_images,
    set_evaluations,
    table,
)

Counts = dict[int, dict[tuple[int, int], FlopCount]]  # by decoder evaluations, by image size


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="a LazyConfig with `model`")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("HEIGHT", "WIDTH"))
    what.add_argument("--num-images", type=int, metavar="N", help="mean over the first N images of dataloader.test")
    parser.add_argument("--steps", type=int, nargs="+", metavar="N", help="decoder evaluations; default 1 3 5")
    parser.add_argument("--depth", type=int, default=2, help="how far down the tree of modules is shown")
    parser.add_argument("--json", metavar="FILE", help="write every module's numbers")
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. model.num_queries=300")
    return parser


def analyze(args: argparse.Namespace) -> dict[str, Any]:
    """Count, and return what ``--json`` writes.

    Raises:
        ValueError: a size, a number of evaluations or a number of images that cannot be, or a data set that is not
            there.
    """
    cfg = load_config(args.config_file, args.opts, num_gpus=0)
    sizes = [checked_size(args.size)] if args.num_images is None else data_set_sizes(cfg, args.num_images)
    model = build_model(cfg.model, cfg.train.device, channels_last=cfg.train.channels_last).eval()
    counts = count_by_evaluations(model, evaluations_to_measure(model.diffusion, args.steps), set(sizes))
    uncounted: Counter[str] = Counter()
    for count in (count for by_size in counts.values() for count in by_size.values()):
        uncounted |= Counter(count.uncounted)
    return {
        "config_file": args.config_file,
        "overrides": list(args.opts),
        "images": [list(size) for size in sizes],
        "convention": CONVENTION,
        "parameters": count_parameters(model),
        "flops": {number: statistics(by_size, sizes) for number, by_size in counts.items()},
        "uncounted_operators": dict(uncounted.most_common()),
        "suspect_operators": [name for name in uncounted if may_multiply(name)],
        "environment": describe_environment("cpu"),
    }


def data_set_sizes(cfg: DictConfig, num_images: int) -> list[tuple[int, int]]:
    """Sizes of the first images of ``dataloader.test``, as its mapper hands them to the model."""
    if num_images < 1:
        raise ValueError(f"--num-images {num_images}: at least 1 is needed")
    test = cfg.dataloader.test
    try:
        records = instantiate(test.dataset)
    except (FileNotFoundError, KeyError) as error:
        raise ValueError(
            f"--num-images {num_images} needs the config's test data set: {error}; or use --size"
        ) from error
    if num_images > len(records):
        raise ValueError(f"--num-images {num_images}: the test data set has {len(records)} images")
    mapper = instantiate(test.mapper)
    return [tuple(mapper(record)["image"].shape[-2:]) for record in records[:num_images]]


def count_by_evaluations(model: nn.Module, evaluations: Sequence[int], sizes: set[tuple[int, int]]) -> Counts:
    """Count for each number of decoder evaluations and each size once: FLOPs do not depend on an image's content."""
    counts: Counts = {}
    for number in evaluations:
        set_evaluations(model, number)
        counts[number] = {size: count_flops(model, random_images([size])) for size in sorted(sizes)}
    return counts


def statistics(by_size: dict[tuple[int, int], FlopCount], sizes: Sequence[tuple[int, int]]) -> dict[str, Any]:
    """Mean over the images by module, and the total's standard deviation over them."""
    totals = [by_size[size].total for size in sizes]
    modules = by_size[sizes[0]].by_module
    return {
        "mean": float(np.mean(totals)),
        "std": float(np.std(totals)),
        "by_module": {name: float(np.mean([by_size[size].by_module[name] for size in sizes])) for name in modules},
    }


def report(result: dict[str, Any], depth: int) -> str:
    """What a person reads: the tree of modules, totals by decoder evaluations, and what does not count."""
    flops, images = result["flops"], result["images"]
    where = f"{images[0][0]}x{images[0][1]}" if len(images) == 1 else f"mean over {len(images)} images"
    header = ["module", "parameters", *(f"GFLOPs ({number})" for number in flops)]
    rows = [header, *tree_rows(result["parameters"], {n: f["by_module"] for n, f in flops.items()}, depth)]
    first = next(iter(flops))
    totals = [["decoder evaluations", "GFLOPs", "std", f"ratio to {first}"]]
    for number, entry in flops.items():
        ratio = entry["mean"] / flops[first]["mean"]
        totals.append([str(number), f"{entry['mean'] / 1e9:.1f}", f"{entry['std'] / 1e9:.1f}", f"{ratio:.3f}"])
    uncounted = ", ".join(f"{name.removeprefix('aten::')} ({n})" for name, n in result["uncounted_operators"].items())
    lines = [
        f"{result['config_file']}, {where}; in brackets the decoder evaluations",
        table(rows),
        table(totals),
        f"FLOPs: {result['convention']}.",
        f"Operators that neither count nor are on fvcore's list of free ones, and their calls: {uncounted or 'none'}.",
    ]
    if result["suspect_operators"]:
        lines.append(
            f"WARNING: the counts are too low: {', '.join(result['suspect_operators'])} may multiply matrices."
        )
    return "\n\n".join(lines)


def tree_rows(parameters: dict[str, int], flops: dict[int, dict[str, float]], depth: int) -> list[list[str]]:
    """One row per module that has parameters or FLOPs, indented by its depth."""
    rows = []
    for name, number in parameters.items():
        level = name.count(".") + 1 if name else 0
        of_module = [by_module.get(name, 0) for by_module in flops.values()]
        if level > depth or not (number or any(of_module)):
            continue
        label = "  " * level + (name.rpartition(".")[2] or "model")
        rows.append([label, f"{number:,}", *(f"{value / 1e9:.2f}" for value in of_module)])
    return rows


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse_arguments(argument_parser(), arguments)
    try:
        result = analyze(args)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    print(report(result, args.depth))
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()
