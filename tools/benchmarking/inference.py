"""Inference as a worker measures it: a detector on a batch of random images."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from omegaconf import DictConfig

from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.build import new_model
from projects.diffu_base.engine.evaluation import load_for_eval
from projects.diffu_base.engine.rng import seed_everything
from tools.benchmarking.parts import Parts, WallClock
from tools.measuring.measure import fill_zero_matrices, random_images, set_evaluations

STAGES = {
    "preprocess": "image to features",
    "extract_features": "image to features",
    "transformer.encode": "encoder",
    "transformer.propose": "proposals",
    "transformer.project_values": "values of memory",
    "postprocess": "postprocess",
}


@dataclass(frozen=True)
class InferenceJob:
    """What to run: `evaluations` of the decoder on `batch` images of `size` (height, width)."""

    evaluations: int
    batch: int
    size: tuple[int, int]

    def start(self, cfg: DictConfig, *, checkpoint: bool, cache: bool) -> "InferenceRun":
        return InferenceRun(self, cfg, checkpoint=checkpoint, cache=cache)

    @property
    def images(self) -> int:
        return self.batch

    def __str__(self) -> str:
        height, width = self.size
        evaluations = f"{self.evaluations} decoder evaluation{'s' * (self.evaluations > 1)}"
        return f"inference, {evaluations}, batch {self.batch}, {height}x{width}"


class InferenceRun:
    """A model and its images.

    Attributes:
        parts: what a turn's time goes to. outputs: the first turn's detections. dtype: of the matrix products.
        notes: what a reader of the numbers must know.

    Args:
        checkpoint: the weights are those of ``train.init_checkpoint``, else random from ``train.seed``.
        cache: False projects memory to values anew in every decoder evaluation.

    Raises:
        ValueError: `cache` is False and the model projects none.
    """

    def __init__(self, job: InferenceJob, cfg: DictConfig, *, checkpoint: bool, cache: bool):
        self.seed = cfg.train.seed
        seed_everything(self.seed)
        options = TrainOptions.of(cfg)
        self.model = new_model(cfg.model, options).eval()
        if not cache and not hasattr(self.model, "transformer"):
            raise ValueError(f"cache=off: {type(self.model).__name__} projects no memory to values")
        if checkpoint:
            load_for_eval(self.model, options.init_checkpoint, averaged=options.evaluates_averages)
        else:
            fill_zero_matrices(self.model, self.seed)
        set_evaluations(self.model, job.evaluations)
        self.inputs = random_images([job.size] * job.batch, self.seed)
        self.outputs: list[dict[str, Any]] | None = None
        device, dtype = torch.device(options.device), options.eval_dtype
        self.dtype = dtype or torch.float32
        self.autocast = torch.autocast(device.type, dtype=dtype, enabled=dtype is not None)
        self.parts = Parts(WallClock(device))
        for path, name in STAGES.items():
            self.parts.wrap(self.model, path, name)
        _wrap_sampler(self.parts, self.model)
        self.notes = self.parts.missing_notes()
        if not cache:
            # None for `projected_values` makes the decoder project them itself, in every pass
            self.model.transformer.project_values = lambda memory: None

    @torch.no_grad()
    def turn(self) -> None:
        """Detect once; the first turn's detections are kept. Every turn draws the same noise."""
        seed_everything(self.seed)
        with self.autocast:
            results = self.model(self.inputs)
        if self.outputs is None:
            self.outputs = [_plain_detections(each["instances"]) for each in results]


def _wrap_sampler(parts: Parts, model: torch.nn.Module) -> None:
    """Make every call of the sampler's `denoise` a part of its own."""
    run = model.sampler.run

    def timed(denoise: Callable, *args: Any, **kwargs: Any) -> Any:
        numbers = itertools.count(1)

        def evaluate(*inputs: Any) -> Any:
            with parts.span(f"decoder evaluation {next(numbers)}"):
                return denoise(*inputs)

        with parts.span("sampler"):
            return run(evaluate, *args, **kwargs)

    model.sampler.run = timed


def _plain_detections(instances: Any) -> dict[str, Any]:
    return {
        "boxes": instances.pred_boxes.tensor.tolist(),
        "scores": instances.scores.tolist(),
        "classes": instances.pred_classes.tolist(),
    }
