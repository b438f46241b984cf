"""What the measuring tools share: images and their sizes, decoder evaluations, a description of the machine, tables."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import tabulate
import torch
from detectron2.structures import Boxes, Instances, PolygonMasks
from torch import nn

from layers_diffu_detr.multi_scale_deform_attn import DEFORM_ATTN_OP_NAME
from projects.diffu_base.engine.rng import preserved_rng, seed_everything
from projects.diffu_base.modeling.detector import Detector

DIFFUSION_EVALUATIONS = (1, 3, 5)  # of the decoder, in the paper's tables


def parse_arguments(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse arguments (None: those of the command line) that end in words with an equals sign, which become `opts`.

    In ``--steps 1 3 model.num_queries=300`` argparse would take the last word for another value of ``--steps``.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    first = len(arguments)
    while first > 0 and "=" in arguments[first - 1] and not arguments[first - 1].startswith("-"):
        first -= 1
    if 0 < first < len(arguments) and arguments[first - 1].startswith("--") and "=" not in arguments[first - 1]:
        first += 1  # the first word is the value of that option
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
    """detectron2's inputs with ``image`` (3, height, width) uint8. The seed alone decides the pixels."""
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


def with_targets(inputs: list[dict[str, Any]], objects: int, num_classes: int, seed: int = 0) -> list[dict[str, Any]]:
    """The inputs with random `instances`: boxes inside the image, 5 to 50 % as wide and high, whose masks fill them."""
    with preserved_rng():
        seed_everything(seed)
        return [{**each, "instances": _random_instances(each, objects, num_classes)} for each in inputs]


def _random_instances(image: dict[str, Any], objects: int, num_classes: int) -> Instances:
    size = torch.tensor([image["width"], image["height"]])
    extent = (0.05 + 0.45 * torch.rand(objects, 2)) * size
    corner = torch.rand(objects, 2) * (size - extent)
    boxes = torch.cat([corner, corner + extent], dim=1)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].numpy()
    return Instances(
        (image["height"], image["width"]),
        gt_boxes=Boxes(boxes),
        gt_classes=torch.randint(num_classes, (objects,)),
        gt_masks=PolygonMasks([[polygon] for polygon in corners]),
    )


def as_detector(model: nn.Module) -> Detector:
    """The model itself.

    Raises:
        ValueError: it is no detector of this project, so that it has neither sampler nor diffusion.
    """
    if not isinstance(model, Detector):
        raise ValueError(f"the config's model is a {type(model).__name__}; only a Detector can be measured")
    return model


def evaluations_to_measure(diffusion: Any, asked: Sequence[int] | None) -> list[int]:
    """The numbers of decoder evaluations that were asked for, or else the paper's. A baseline evaluates once.

    Args:
        diffusion: the model's, which has `num_timesteps`; None for a baseline.

    Raises:
        ValueError: the model cannot have such a number of evaluations.
    """
    asked = asked or ()
    if diffusion is None:
        if any(number != 1 for number in asked):
            numbers = " ".join(map(str, asked))
            raise ValueError(f"--steps {numbers}: a model without diffusion evaluates its decoder once")
        return [1]
    allowed = diffusion.num_timesteps - 1
    for number in asked:
        if not 1 <= number <= allowed:
            raise ValueError(f"--steps {number}: {diffusion.num_timesteps} timesteps allow 1 to {allowed}")
    return list(asked or DIFFUSION_EVALUATIONS)


@torch.no_grad()
def fill_zero_matrices(model: nn.Module, seed: int = 0, deviation: float = 0.02) -> list[str]:
    """Give matrices that are all zero, such as the last layers of new box heads, small normal weights.

    In an untrained model such a matrix hides all that comes before it: two variants would detect the same boxes
    whatever they compute.

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
    """The machine, packages and settings that measured numbers depend on."""
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
    header, *body = rows
    align = ["left", *["right"] * (len(header) - 1)]
    return tabulate.tabulate(body, header, "simple", disable_numparse=True, colalign=align)
