"""Measuring a setting of a trained model: AP over noise seeds, FLOPs, and latency in turn with other settings."""

import itertools
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.evaluation import DatasetEvaluator
from omegaconf import DictConfig
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.evaluation import evaluate, model_to_evaluate
from tools.ablation.results import MASK, METRICS
from tools.measuring.flops import count_flops


@dataclass
class Setting:
    """A setting that can be measured: its config, and the model with its weights and the loader made from it."""

    cfg: DictConfig
    model: nn.Module
    loader: DataLoader

    @property
    def from_noise(self) -> bool:
        """Whether detections depend on a seed."""
        return self.model.sampler.needs_diffusion

    @property
    def dtype(self) -> torch.dtype | None:
        """The type that evaluation runs under autocast to; None for float32."""
        return TrainOptions.of(self.cfg).eval_dtype

    def inputs(self, number: int) -> list[dict[str, Any]]:
        """The first images of the loader, with at most `number`."""
        return list(itertools.islice(itertools.chain.from_iterable(self.loader), number))


def prepare(cfg: DictConfig) -> Setting:
    """Build a setting.

    Raises:
        ValueError, TypeError: the config's objects do not go together, or the weights do not fit.
    """
    cfg.train.compile = False  # a count of FLOPs cannot look into compiled layers
    model = model_to_evaluate(cfg.model, TrainOptions.of(cfg))
    return Setting(cfg, model, instantiate(cfg.dataloader.test))


def average_precision(
    setting: Setting, seed: int | None, evaluator: DatasetEvaluator, title: str
) -> dict[str, dict[str, float | None]]:
    """Part -> metric -> value over the test data; None where the ground truth has nothing to measure it by.

    Args:
        seed: of the sampler's noise; None for a model without noise.
        title: shown beside the progress, on a terminal.
    """
    if seed is not None:
        setting.model.sampler.seed = seed
    setting.cfg.dataloader.evaluator = evaluator
    setting.cfg.dataloader.test = tqdm(setting.loader, desc=title, unit="batch", leave=False, disable=None)
    results = evaluate(setting.model, setting.cfg.dataloader, dtype=setting.dtype)
    return {
        part: {name: _number(values[name]) for name in (*METRICS, *(MASK + m for m in METRICS)) if name in values}
        for part, values in results.items()
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no NaN


@torch.no_grad()
def flops_of_first_image(setting: Setting) -> dict[str, Any]:
    """FLOPs of the first test image, and its `size` (height, width)."""
    (inputs,) = setting.inputs(1)
    return {"total": count_flops(setting.model, [inputs]).total, "size": list(inputs["image"].shape[-2:])}


def latencies(settings: dict[str, Setting], num_images: int, title: str) -> dict[str, list[float]]:
    """Seconds of the settings' forward passes on the first test images, one at a time.

    All settings take an image before any takes the next, so that whatever slows the machine slows them alike.
    """
    images = {name: setting.inputs(num_images) for name, setting in settings.items()}
    for name, setting in settings.items():  # the first call of a shape is slower
        _seconds(setting, images[name][0])
    turns = tqdm(range(min(map(len, images.values()))), desc=title, unit="image", leave=False, disable=None)
    seconds: dict[str, list[float]] = {name: [] for name in settings}
    for turn in turns:
        for name, setting in settings.items():
            seconds[name].append(_seconds(setting, images[name][turn]))
    return seconds


@torch.no_grad()
def _seconds(setting: Setting, inputs: dict[str, Any]) -> float:
    device = torch.device(setting.cfg.train.device)
    with torch.autocast(device.type, dtype=setting.dtype, enabled=setting.dtype is not None):
        _wait_for(device)
        start = time.perf_counter()
        setting.model([inputs])
        _wait_for(device)
        return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
