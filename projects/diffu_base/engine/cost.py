"""What inference costs, measured while an evaluation runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from projects.diffu_base.modeling.detector import Detector


class InferenceCost:
    """The seconds that a model takes, from its first batch to its last.

    Attributes:
        seconds: one entry for each batch.
        images: how many images each batch had.
    """

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.images: list[int] = []
        self._started = 0.0

    def start(self, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        """Hook before a forward pass."""
        _wait()
        self._started = time.perf_counter()

    def stop(self, module: nn.Module, inputs: tuple[Any, ...], output: object) -> None:
        """Hook behind a forward pass."""
        _wait()
        self.seconds.append(time.perf_counter() - self._started)
        self.images.append(len(inputs[0]))

    def facts(self, model: nn.Module) -> dict[str, str]:
        """What to tell a reader: a name and a text for each figure.

        Args:
            model: the model that was measured, without what wraps it.
        """
        parameters = sum(parameter.numel() for parameter in model.parameters())
        device = next(model.parameters()).device
        facts = {"parameters": f"{parameters / 1e6:.1f} million", "device": _name(device)}
        if isinstance(model, Detector):
            facts["boxes per image"] = str(model.num_boxes)
            facts["decoder evaluations"] = str(model.sampler.num_steps if model.diffusion is not None else 1)
        # The first batch of several also pays for memory and for the choice of kernels.
        first = 1 if len(self.seconds) > 1 else 0
        seconds, images = sum(self.seconds[first:]), sum(self.images[first:])
        if images:
            each = f"{1000 * seconds / images:.0f} ms"
            facts["time per image"] = f"{each}, in batches of {max(self.images)}, without reading the image"
        if device.type == "cuda":
            facts["highest GPU memory"] = f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB"
        return facts


@contextmanager
def measured(model: nn.Module) -> Iterator[InferenceCost]:
    """Within it, every forward pass of `model` is timed."""
    cost = InferenceCost()
    hooks = [model.register_forward_pre_hook(cost.start), model.register_forward_hook(cost.stop)]
    try:
        yield cost
    finally:
        for hook in hooks:
            hook.remove()


def _wait() -> None:
    """Wait for what the GPU still has to do."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} thread{'s' if torch.get_num_threads() > 1 else ''}"
