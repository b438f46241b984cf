"""What the measuring tools share: sizes, images, decoder evaluations, a description of the machine, tables."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from layers_diffu_detr.multi_scale_deform_attn import DEFORM_ATTN_OP_NAME
from projects.diffu_base.engine.rng import preserved_rng, seed_everything

DIFFUSION_EVALUATIONS = (1, 3, 5)  # those of the paper's tables


def parse_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments (None: of the command line) whose last are `opts`, words with an equals sign.

    argparse would take them for more values of an option before them: ``--steps 1 3 model.num_queries=300``.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    first = len(arguments)
    while first > 0 and "=" in arguments[first - 1] and not arguments[first - 1].startswith("-"):
        first -= 1
    if 0 < first < len(arguments) and arguments[first - 1].startswith("--") and "=" not in arguments[first - 1]:
        first += 1  # that one is the option's
    args = parser.parse_args(arguments[:first])
    args.opts = [*args.opts, *arguments[first:]]
    return args


def image_size(text: str) -> tuple[int, int]:
    """Height and width in pixels from ``HEIGHTxWIDTH``.

    Raises:
        ValueError: naming the text.
    """
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise ValueError(f"image size {text!r} is not of the form HEIGHTxWIDTH, such as 480x640")
    return checked_size([int(side) for side in match.groups()])


def checked_size(size: Sequence[int]) -> tuple[int, int]:
    """``size`` as (height, width).

    Raises:
        ValueError: a side has less than 32 pixels, the stride of the coarsest backbone map.
    """
    height, width = size
    if min(height, width) < 32:
        raise ValueError(f"image size {height}x{width}: both sides must have at least 32 pixels")
    return height, width


def random_images(sizes: Sequence[tuple[int, int]], seed: int = 0) -> list[dict[str, Any]]:
    """detectron2's inputs with ``image`` (3, height, width) uint8: the same pixels for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    return [
        {
            "image": torch.randint(0, 256, (3, *size), dtype=torch.uint8, generator=generator),
            "height": size[0],
            "width": size[1],
            "image_id": i,
        }
        for i, size in enumerate(sizes)
    ]


def evaluations_to_measure(diffusion: Any, asked: Sequence[int] | None) -> list[int]:
    """The numbers of decoder evaluations that were asked for, or else the paper's; a baseline has one.

    Args:
        diffusion: a model's, with its `num_timesteps`; None: the model is a baseline.

    Raises:
        ValueError: a number that the timesteps do not allow.
    """
    if diffusion is None:
        if any(number != 1 for number in asked or ()):
            raise ValueError(
                f"--steps {' '.join(map(str, asked))}: a model without diffusion evaluates its decoder once"
            )
        return [1]
    allowed = diffusion.num_timesteps - 1
    for number in asked or ():
        if not 1 <= number <= allowed:
            raise ValueError(f"--steps {number}: {diffusion.num_timesteps} timesteps allow 1 to {allowed}")
    return list(asked or DIFFUSION_EVALUATIONS)


def set_evaluations(model: nn.Module, number: int) -> None:
    """Make the sampler evaluate the decoder ``number`` times (from `evaluations_to_measure`)."""
    if model.diffusion is not None:
        model.sampler.num_steps = number


@torch.no_grad()
def fill_zero_matrices(model: nn.Module, seed: int = 0, deviation: float = 0.02) -> list[str]:
    """Give matrices that start at zero, such as the box heads' last layers, small normal weights.

    In a model that starts from random weights they hide all that comes before them: two settings would detect the same
    boxes whatever they compute.

    Returns:
        The names of the parameters that were filled.
    """
    filled = [(name, p) for name, p in model.named_parameters() if p.ndim >= 2 and not p.any()]
    with preserved_rng():
        seed_everything(seed)
        for _, parameter in filled:
            parameter.copy_(deviation * torch.randn(parameter.shape))
    return [name for name, _ in filled]


def describe_environment(device: str) -> dict[str, Any]:
    """What a measured number depends on besides the code."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else _cpu_name(),
        "device_type": torch.device(device).type,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "deformable_attention": DEFORM_ATTN_OP_NAME,
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
    }


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:  # not Linux
        names = []
    return f"{names[0] if names else 'CPU'}, {os.cpu_count()} cores"


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as lines with aligned columns, the first row the header: names to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return "  ".join(cells).rstrip()

    header, *body = rows
    return "\n".join([line(header), "-" * (sum(widths) + 2 * (len(widths) - 1)), *map(line, body)])
