"""A training step as a worker measures it: the trainer's own, on synthetic targets."""

import time
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils.events import EventStorage
from omegaconf import DictConfig
from torch import Tensor

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.build import build_loader, build_optimizer, new_model
from projects.diffu_base.engine.ema import EMAHook, EMAState
from projects.diffu_base.engine.evaluation import local_path
from projects.diffu_base.engine.rng import preserved_rng, seed_everything
from projects.diffu_base.engine.trainer import Trainer
from tools.benchmarking.parts import Parts, WallClock
from tools.measuring.measure import fill_zero_matrices, random_images


@dataclass(frozen=True)
class TrainingJob:
    """What to run: a step on one batch with an image per size (height, width) and `objects` on each."""

    sizes: tuple[tuple[int, int], ...]
    objects: int

    def start(self, cfg: DictConfig, *, checkpoint: bool, cache: bool) -> "TrainingRun":
        return TrainingRun(self, cfg, checkpoint=checkpoint)

    @property
    def images(self) -> int:
        return len(self.sizes)

    def __str__(self) -> str:
        sizes = " ".join(f"{height}x{width}" for height, width in self.sizes)
        return f"training step, batch {len(self.sizes)} ({sizes}), {self.objects} objects an image"


class TrainingRun:
    """A trainer between its iterations.

    Attributes:
        parts: what a turn's time goes to. outputs: the first turn's losses. dtype: of the matrix products.
        notes: what a reader of the numbers must know.

    Args:
        checkpoint: the weights are those of ``train.init_checkpoint``, else random from ``train.seed``.
    """

    def __init__(self, job: TrainingJob, cfg: DictConfig, *, checkpoint: bool):
        self.cfg, self.job, self.seed = cfg, job, cfg.train.seed
        seed_everything(self.seed)
        options = TrainOptions.of(cfg)
        model = new_model(cfg.model, options)
        if checkpoint:
            load_weights(model, local_path(cfg.train.init_checkpoint))
        else:
            fill_zero_matrices(model, self.seed)
        inputs = with_targets(random_images(job.sizes, self.seed), job.objects, model.num_classes, self.seed)
        self.trainer = Trainer(
            model,
            _Repeat(inputs),
            build_optimizer(cfg.optimizer, model),
            amp_dtype=options.amp_dtype,
            clip_grad=options.clip_arguments,
            accumulation_steps=options.accumulation_steps,
        )
        self.parts = Parts(WallClock(torch.device(cfg.train.device)))
        self.parts.wrap(model, "forward", "forward")
        self.parts.wrap(model, "criterion.forward", "loss")
        self.parts.wrap(model, "criterion.matcher.match_layers", "matching")
        _wrap_backward(self.parts, self.trainer.grad_scaler)
        self.parts.wrap(self.trainer, "_update", "clip and optimizer")
        if cfg.train.model_ema.enabled:
            ema = EMAState(model, cfg.train.model_ema.decay)
            self.parts.wrap(ema, "update", "average of weights")
            self.trainer.register_hooks([EMAHook(ema, model)])
        self.notes = self.parts.missing_notes()
        self.storage = EventStorage(0)
        self.trainer.storage, self.trainer.start_iter, self.trainer.iter = self.storage, 0, 0
        self.trainer.before_train()
        self.outputs: dict[str, float] | None = None
        self.dtype = self.trainer.amp_dtype or torch.float32

    def turn(self) -> None:
        """Train for one step; the first step's losses are kept. Every turn draws the same noise."""
        seed_everything(self.seed)
        self.trainer.before_step()
        self.trainer.run_step()
        self.trainer.after_step()
        self.trainer.iter += 1
        if self.outputs is None:
            latest = self.storage.latest()
            self.outputs = {name: value for name, (value, _) in sorted(latest.items()) if "loss" in name}

    def data_seconds(self, repeats: int) -> float | None:
        """Mean seconds of a batch of as many images as a turn has, from the config's loader with nothing beside it.

        None, with a note, where the data set is not there.
        """
        config = self.cfg.copy()
        config.dataloader.train.total_batch_size = self.job.images
        try:
            batches = iter(build_loader(config.dataloader.train, seed=self.seed, start_iter=0))
        except (FileNotFoundError, KeyError, ValueError) as error:  # nothing under DETECTRON2_DATASETS
            self.notes.append(f"data is not measured: {error}")
            return None
        next(batches)  # starts the loader's processes
        start = time.perf_counter()
        for _ in range(repeats):
            next(batches)
        return (time.perf_counter() - start) / repeats


class _Repeat:
    """A loader that yields the same batch for ever."""

    def __init__(self, batch: list[dict[str, Any]]):
        self.batch = batch

    def __iter__(self) -> "_Repeat":
        return self

    def __next__(self) -> list[dict[str, Any]]:
        return self.batch


def with_targets(inputs: list[dict[str, Any]], objects: int, num_classes: int, seed: int) -> list[dict[str, Any]]:
    """The inputs with `instances`: random boxes of 5 to 50 % of the image's sides inside it, of random classes."""
    with preserved_rng():
        seed_everything(seed)
        return [{**each, "instances": _random_instances(each, objects, num_classes)} for each in inputs]


def _random_instances(image: dict[str, Any], objects: int, num_classes: int) -> Instances:
    size = torch.tensor([image["width"], image["height"]])
    extent = (0.05 + 0.45 * torch.rand(objects, 2)) * size
    corner = torch.rand(objects, 2) * (size - extent)
    return Instances(
        (image["height"], image["width"]),
        gt_boxes=Boxes(torch.cat([corner, corner + extent], dim=1)),
        gt_classes=torch.randint(num_classes, (objects,)),
    )


def _wrap_backward(parts: Parts, grad_scaler: torch.amp.GradScaler) -> None:
    """Make the backward pass of the scaled loss a part."""
    scale = grad_scaler.scale

    def scaled(loss: Tensor) -> Tensor:
        loss = scale(loss)
        parts.wrap(loss, "backward", "backward")
        return loss

    grad_scaler.scale = scaled
