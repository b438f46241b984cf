"""Counts a model's parameters and FLOPs, by module and by number of decoder evaluations, and estimates its training.

    python tools/analyze_model.py --config-file CONFIG [--size 800 1333] [--steps 1 3 5] [--depth 2] [key=value ...]
    python tools/analyze_model.py --config-file CONFIG --num-images 100
    python tools/analyze_model.py --config-file CONFIG --gpus 8 [--tflops 5] [--size 704 940]

The first command counts for one image of the given size. The second takes the mean over the first images of the
config's test data set. One multiply-add counts as one FLOP, as fvcore and the papers count. The tool runs on the CPU
and needs no weights.

--gpus estimates the hours that the config's schedule takes. The estimate counts the products of matrices in the forward
and the backward pass of one image with 10 objects, of --size or of the data set's first image. It assumes that each GPU
sustains --tflops 10^12 operations per second (a multiply-add is two) and that nothing else takes time.
tools/benchmark.py train measures the time of a step on a GPU.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from detectron2.config import instantiate
from fvcore.nn import parameter_count
from omegaconf import DictConfig

from projects.diffu_base.commands.errors import run_tool
from projects.diffu_base.config.checks import load_config
from projects.diffu_base.engine.build import build_model
from projects.diffu_base.modeling.detector import Detector
from tools.measuring.flops import CONVENTION, count_flops, count_training_products
from tools.measuring.measure import (
    as_detector,
    checked_size,
    describe_environment,
    evaluations_to_measure,
    parse_arguments,
    random_images,
    table,
    with_targets,
)

Size = tuple[int, int]  # height, width
OBJECTS = 10  # on the image of a training step


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, metavar="FILE", help="a LazyConfig with `model`")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--size", type=int, nargs=2, default=(800, 1333), metavar=("HEIGHT", "WIDTH"))
    what.add_argument("--num-images", type=int, metavar="N", help="mean over the first N images of dataloader.test")
    parser.add_argument("--steps", type=int, nargs="+", metavar="N", help="decoder evaluations; default 1 3 5")
    parser.add_argument("--depth", type=int, default=2, help="how far down the tree of modules is shown")
    parser.add_argument("--gpus", type=int, metavar="N", help="estimate the training on so many GPUs")
    parser.add_argument("--tflops", type=float, default=5.0, help="sustained by each, 10^12 operations per second")
    parser.add_argument("--json", metavar="FILE", help="write every module's numbers")
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. model.num_queries=300")
    return parser


def analyze(args: argparse.Namespace) -> dict[str, Any]:
    """Count, and return what ``--json`` writes.

    Raises:
        ValueError: an argument's value cannot be, or a data set is not there.
    """
    cfg = load_config(args.config_file, args.opts, num_gpus=0)
    sizes = [checked_size(args.size)] if args.num_images is None else data_set_sizes(cfg, args.num_images)
    model = as_detector(build_model(cfg.model, "cpu"))
    evaluations = evaluations_to_measure(model.diffusion, args.steps)
    parameters = parameter_count(model)
    result = {
        "config_file": args.config_file,
        "overrides": list(args.opts),
        "images": [list(size) for size in sizes],
        "convention": CONVENTION,
        "parameters": {name: parameters[name] for name, _ in model.named_modules()},
        "flops": {number: statistics(model.eval(), number, sizes) for number in evaluations},
        "environment": describe_environment("cpu"),
    }
    if args.gpus is not None:
        result["training"] = estimate_training(cfg, model.train(), sizes[0], args.gpus, args.tflops)
    return result


def data_set_sizes(cfg: DictConfig, num_images: int) -> list[Size]:
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


def statistics(model: Detector, evaluations: int, sizes: Sequence[Size]) -> dict[str, Any]:
    """FLOPs with this number of evaluations: the mean by module, and mean and deviation of the total over images."""
    model.sampler.num_steps = evaluations
    # FLOPs do not depend on what an image shows, so each size is counted once.
    by_size = {size: count_flops(model, random_images([size])) for size in sorted(set(sizes))}
    counts = [by_size[size] for size in sizes]
    totals = [count[""] for count in counts]
    by_module = {name: float(np.mean([count[name] for count in counts])) for name in counts[0]}
    return {"mean": float(np.mean(totals)), "std": float(np.std(totals)), "by_module": by_module}


def estimate_training(cfg: DictConfig, model: Detector, size: Size, gpus: int, tflops: float) -> dict[str, Any]:
    """Estimate the training of ``cfg`` on `gpus` GPUs, each sustaining `tflops` · 10^12 operations per second."""
    if gpus < 1 or tflops <= 0:
        raise ValueError(f"--gpus {gpus} --tflops {tflops:g}: both must be positive")
    iterations, batch = cfg.train.max_iter, cfg.dataloader.train.total_batch_size
    products = count_training_products(model, with_targets(random_images([size]), OBJECTS, model.num_classes))
    hours = 2 * products * iterations * batch / (gpus * tflops * 1e12) / 3600
    return {"iterations": iterations, "batch": batch, "flops": products, "gpus": gpus, "tflops": tflops, "hours": hours}


def report(result: dict[str, Any], depth: int) -> str:
    """What a person reads: the modules, and totals by decoder evaluations."""
    flops, images = result["flops"], result["images"]
    where = f"{images[0][0]}x{images[0][1]}" if len(images) == 1 else f"mean over {len(images)} images"
    header = ["module", "parameters", *(f"GFLOPs ({number})" for number in flops)]
    modules = module_rows(result["parameters"], [entry["by_module"] for entry in flops.values()], depth)
    first, reference = next(iter(flops.items()))
    totals = [["decoder evaluations", "GFLOPs", "std", f"ratio to {first}"]]
    for number, entry in flops.items():
        mean, std = entry["mean"] / 1e9, entry["std"] / 1e9
        totals.append([str(number), f"{mean:.1f}", f"{std:.1f}", f"{entry['mean'] / reference['mean']:.3f}"])
    lines = [f"{result['config_file']}, {where}; in brackets the decoder evaluations", table([header, *modules])]
    lines.append(table(totals))
    if "training" in result:
        lines.append(table(training_rows(result["training"])))
    return "\n\n".join([*lines, f"FLOPs: {result['convention']}."])


def training_rows(training: dict[str, Any]) -> list[list[str]]:
    """A header and the estimate."""
    numbers = [f"{training['iterations']:,}", str(training["batch"])]
    numbers += [f"{training['flops'] / 1e9:.0f}", f"{training['hours']:.3g}"]
    return [["iterations", "batch", "GFLOPs an image", f"hours on {training['gpus']} GPUs (estimate)"], numbers]


def module_rows(parameters: dict[str, int], flops: Sequence[dict[str, float]], depth: int) -> list[list[str]]:
    """A row for each module down to `depth` that has parameters or FLOPs."""
    rows = []
    for name, number in parameters.items():
        counts = [by_module[name] for by_module in flops]
        if len(name.split(".")) <= depth and (number or any(counts)):
            rows.append([name or "model", f"{number:,}", *(f"{count / 1e9:.2f}" for count in counts)])
    return rows


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    args = parse_arguments(argument_parser(), arguments)
    result = analyze(args)
    print(report(result, args.depth))
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    sys.exit(run_tool(main))
