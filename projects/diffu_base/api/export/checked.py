"""Exports a detector and checks the file: it counts only if it detects on real images what PyTorch detects."""

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from detectron2.structures import Instances
from numpy import ndarray
from torch import Tensor
from torch.export import Dim, ExportedProgram

from projects.diffu_base.modeling.detector import Detector

from .formats import Format, Run
from .graph import Graph
from .images import batches
from .parity import MOST_PIXELS, MOST_SCORE, Difference, difference

Result = TypeVar("Result")


@dataclass
class Report:
    """What the check of an exported file found.

    Attributes:
        difference: the largest differences from PyTorch.
        sizes: height and width of the images of each batch.
        seconds, seconds_pytorch: what each batch took, in the file and in PyTorch.
    """

    difference: Difference = field(default_factory=Difference)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    seconds_pytorch: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class InputSize:
    """The images that a graph takes.

    Attributes:
        height, width: of the images that it is traced with.
        batch: B, how many images go in at a time.
        any_size: it takes images of other sizes too; False fixes height and width.
    """

    height: int
    width: int
    batch: int = 1
    any_size: bool = True

    def require_fit(self, detector: Detector) -> None:
        """Raise a ValueError if a graph of the detector cannot take such images."""
        divisor = detector.size_divisor
        if self.any_size and (self.height % divisor or self.width % divisor):
            raise ValueError(
                f"the size is {self.height} x {self.width}; this model takes multiples of {divisor}, or a fixed size"
            )


def export_detector(
    detector: Detector,
    path: str | os.PathLike,
    form: Format,
    *,
    size: InputSize,
    images: Sequence[ndarray],
    info: Mapping[str, Any] | None = None,
) -> Report:
    """Write a detector as one graph, with an image's noise beside it, and check it on images.

    Args:
        detector: in evaluation mode, on the CPU. A sampler without a seed gets seed 0.
        path: the file to write. `noise_file(path)` gets the noise; a baseline has none.
        form: of the file.
        size: of the images that the graph takes.
        images: to check on, (h, w, 3) uint8 each, channels in the detector's order.
        info: is stored in the file as JSON, with what `facts` tells.

    Raises:
        ValueError: the detections differ by more than `Difference.small` allows; no file is left. Or the detector has
            a part that no graph can hold, or PyTorch is too old.
    """
    if not hasattr(torch.compiler, "is_exporting"):
        raise ValueError(f"PyTorch is {torch.__version__}; export needs 2.9 or newer")
    size.require_fit(detector)
    path, detector = Path(path), _seeded(detector)
    graph = Graph(detector, form.suppress).requires_grad_(False)
    noise = noise_of(graph, detector, size)
    unchecked = path.with_name(f"unchecked_{path.name}")
    try:
        form.write(traced(graph, noise, size), unchecked, {**(info or {}), **facts(detector, size)})
        report = check(form.load(unchecked), detector, batches_of(images, size, detector.size_divisor), noise)
        require_small(report.difference, path.name)
        unchecked.replace(path)
    finally:
        unchecked.unlink(missing_ok=True)
    if noise is not None:
        np.save(noise_file(path), noise[0].numpy())
    return report


def require_small(difference: Difference, name: str) -> None:
    """Raise a ValueError if a file differs from PyTorch by more than rounding explains."""
    if not difference.small:
        raise ValueError(
            f"{name} detects other things than PyTorch: {told(difference)}; at most {MOST_PIXELS} px and {MOST_SCORE} "
            "are allowed. It was not written"
        )


def batches_of(images: Sequence[ndarray], size: InputSize, divisor: int) -> Iterator[ndarray]:
    """The images in batches as a graph takes them, see `batches`."""
    sides = size.height, size.width
    return batches(images, sides, size.batch, any_size=size.any_size, divisor=divisor)


def noise_file(path: Path) -> Path:
    """The file of an image's noise (D, Q, 4), beside the graph's file."""
    return path.with_suffix(".noise.npy")


def noise_of(graph: Graph, detector: Detector, size: InputSize) -> Tensor | None:
    """The noise (B, D, Q, 4) that a detector with a seed draws for images without ids: the same for each."""
    draws = graph.count_draws(torch.zeros(1, 3, size.height, size.width))
    source = detector.noise_source([{}] * size.batch)
    return None if source is None else torch.stack([source() for _ in range(draws)], dim=1)


def facts(detector: Detector, size: InputSize) -> dict[str, Any]:
    """What a user of the file must know of the detector."""
    diffusion = detector.diffusion
    return {
        "detector": type(detector).__name__,
        "input_format": detector.input_format,
        "size": [size.height, size.width],
        "multiple_of": detector.size_divisor,
        "steps": detector.sampler.num_steps,
        "noise": None if diffusion is None else type(diffusion.noise).__name__,
    }


@torch.no_grad()
def traced(graph: Graph, noise: Tensor | None, size: InputSize) -> ExportedProgram:
    """Trace the graph with images of a size and noise (B, D, Q, 4)."""
    inputs = {"images": torch.zeros(size.batch, 3, size.height, size.width)}
    shapes: dict[str, Any] = {"images": free_sides(graph.detector.size_divisor) if size.any_size else {}}
    if noise is not None:
        inputs["noise"], shapes["noise"] = noise, {}
    return torch.export.export(graph, (), kwargs=inputs, dynamic_shapes=shapes, strict=False)


def free_sides(divisor: int) -> dict[int, Any]:
    """The sides of images (B, 3, H, W) that may have any size, or any multiple of `divisor`, which needs no padding."""
    if divisor == 1:
        return {2: Dim.DYNAMIC, 3: Dim.DYNAMIC}
    return {2: divisor * Dim("rows", min=2), 3: divisor * Dim("columns", min=2)}


def check(run: Run, detector: Detector, checks: Iterable[ndarray], noise: Tensor | None) -> Report:
    """Compare what a file detects in batches of images (B, 3, H, W) with what the detector itself does."""
    report = Report()
    for images in checks:
        if not report.sizes:
            run(images, _numbers(noise)), in_pytorch(detector, images)  # the first run of either prepares things
        found, seconds = timed(run, images, _numbers(noise))
        expected, seconds_pytorch = timed(in_pytorch, detector, images)
        report.sizes.append((images.shape[2], images.shape[3]))
        report.seconds.append(seconds)
        report.seconds_pytorch.append(seconds_pytorch)
        for i, instances in enumerate(expected):
            of_image = {name: value[i] for name, value in found.items()}
            limit = detector.select_box_nums_for_evaluation
            report.difference |= difference(of_image, instances, limit)
    return report


@torch.no_grad()
def in_pytorch(detector: Detector, images: ndarray) -> list[Instances]:
    """What the detector detects in images (B, 3, H, W)."""
    results = detector([{"image": torch.from_numpy(image)} for image in images])
    return [result["instances"] for result in results]


def timed(function: Callable[..., Result], *args: Any) -> tuple[Result, float]:
    """The result of a function, and how many seconds it took."""
    start = time.perf_counter()
    result = function(*args)
    return result, time.perf_counter() - start


def told(difference: Difference) -> str:
    """The differences in words."""
    text = f"boxes by {difference.pixels:.2g} px, scores by {difference.score:.2g}"
    return f"{text}, masks by {difference.masks:.2g} of an image" if difference.masks else text


def _seeded(detector: Detector) -> Detector:
    """A copy that shares the weights, whose sampler has a seed."""
    detector = copy.copy(detector)
    detector.sampler = copy.copy(detector.sampler)
    detector.sampler.seed = detector.sampler.seed or 0
    return detector


def _numbers(noise: Tensor | None) -> ndarray | None:
    return None if noise is None else noise.numpy()
