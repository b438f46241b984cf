"""Estimates what training takes on N GPUs: counted FLOPs of the config's schedule over an assumed rate.

    python tools/estimate_training.py CONFIG [CONFIG ...] [--gpus 8] [--tflops 5] [--size 704 940] [--markdown]

Counted: the forward pass of one image of --size, with the denoising queries that training adds, but without what only
losses read, such as the class heads of the decoder's earlier layers; a step is three of them, images are iterations
times batch. Assumed: a GPU sustains --tflops 10^12 operations per second (a multiply-add is two), and nothing else
takes time. tools/benchmark.py train measures on a GPU what a step really takes there.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from projects.diffu_base.config.checks import load_config  # noqa: E402
from projects.diffu_base.engine.build import build_model  # noqa: E402
from tools.measuring.flops import count_flops  # noqa: E402
from tools.measuring.measure import checked_size, random_images, set_evaluations, table  # noqa: E402

PASSES = 3  # a backward pass takes two of the forward
OPERATIONS = 2  # of a multiply-add


@dataclass(frozen=True)
class Cost:
    """What a config's training takes. `multiply_adds`: of one image's forward pass."""

    config_file: str
    iterations: int
    batch: int
    multiply_adds: int

    def hours(self, gpus: int, tflops: float) -> float:
        """On so many GPUs of so many sustained TFLOP/s each."""
        operations = OPERATIONS * PASSES * self.multiply_adds * self.iterations * self.batch
        return operations / (gpus * tflops * 1e12) / 3600


def cost_of(config_file: str, size: tuple[int, int]) -> Cost:
    """Count one image's forward pass with training's denoising queries.

    Raises:
        ValueError: the config is not of the DETR family.
    """
    cfg = load_config(config_file, num_gpus=0)
    if "num_queries" not in cfg.model:
        raise ValueError(f"{config_file} is no config of the DETR family: its model has no num_queries")
    cfg.model.num_queries += 2 * cfg.model.get("dn_number", 0)
    model = build_model(cfg.model, cfg.train.device, channels_last=cfg.train.channels_last).eval()
    set_evaluations(model, 1)
    flops = count_flops(model, random_images([size])).total
    return Cost(config_file, cfg.train.max_iter, cfg.dataloader.train.total_batch_size, flops)


def rows(costs: Sequence[Cost], gpus: int, tflops: float) -> list[list[str]]:
    """A header, and a row per config."""
    header = ["config", "iterations", "batch", "GFLOPs an image", f"hours on {gpus} GPUs (estimate)"]
    return [header] + [
        [
            cost.config_file,
            f"{cost.iterations:,}",
            str(cost.batch),
            f"{cost.multiply_adds / 1e9:.0f}",
            f"{cost.hours(gpus, tflops):.0f}",
        ]
        for cost in costs
    ]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """The rows as a Markdown table, configs as code."""
    header, *body = lines
    body = [[f"`{first}`", *rest] for first, *rest in body]
    return "\n".join("| " + " | ".join(line) + " |" for line in (header, ["---"] * len(header), *body))


def main(arguments: Sequence[str] | None = None) -> list[Cost]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("configs", nargs="+", metavar="CONFIG", help="LazyConfigs of the DETR family")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--tflops", type=float, default=5.0, help="sustained by each GPU, 10^12 operations per second")
    parser.add_argument("--size", type=int, nargs=2, default=(704, 940), metavar=("HEIGHT", "WIDTH"))
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    args = parser.parse_args(arguments)
    if args.gpus < 1 or args.tflops <= 0:
        raise SystemExit(f"error: --gpus {args.gpus} --tflops {args.tflops:g}: both must be positive")
    costs = []
    try:
        size = checked_size(args.size)
        for number, config_file in enumerate(args.configs, 1):
            print(f"[{number}/{len(args.configs)}] {config_file}", file=sys.stderr, flush=True)
            costs.append(cost_of(config_file, size))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    lines = rows(costs, args.gpus, args.tflops)
    print(markdown(lines) if args.markdown else table(lines))
    return costs


if __name__ == "__main__":
    main()
