"""Measuring a row of an ablation: AP with a seed of the noise, FLOPs, and latency in turn with other rows."""

import itertools
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from detectron2.config import instantiate
from detectron2.evaluation import DatasetEvaluator
from omegaconf import DictConfig
from torch.utils.data import DataLoader
from tqdm import tqdm

from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.evaluation import evaluate, model_to_evaluate
from projects.diffu_base.modeling.detector import Detector
from tools.ablation.results import MASK, METRICS
from tools.measuring.flops import count_flops
from tools.measuring.measure import as_detector


@dataclass
class PreparedRow:
    """A row that is ready to be measured: its config, and what was made of it, the trained model and the loader."""

    cfg: DictConfig
    model: Detector
    loader: DataLoader

    @property
    def dtype(self) -> torch.dtype | None:
        """The type that evaluation runs under autocast to; None for float32."""
        return TrainOptions.of(self.cfg).eval_dtype

    def inputs(self, number: int) -> list[dict[str, Any]]:
        """The first images of the loader, with at most `number`."""
        return list(itertools.islice(itertools.chain.from_iterable(self.loader), number))


def prepare(cfg: DictConfig) -> PreparedRow:
    """Build the model and the loader of a row's config, and load the weights.

    Raises:
        ValueError, TypeError: the config's objects do not go together, or the weights do not fit.
    """
    cfg.train.compile = False  # the counter of FLOPs cannot look into compiled layers
    model = as_detector(model_to_evaluate(cfg.model, TrainOptions.of(cfg)))
    return PreparedRow(cfg, model, instantiate(cfg.dataloader.test))


def average_precision(
    row: PreparedRow, seed: int | None, evaluator: DatasetEvaluator, title: str
) -> dict[str, dict[str, float | None]]:
    """Part -> metric -> value over the test data; None where the ground truth has nothing to measure it by.

    Args:
        seed: of the sampler's noise; None for a model without noise.
        title: what a terminal shows beside the progress.
    """
    if seed is not None:
        row.model.sampler.seed = seed
    row.cfg.dataloader.evaluator = evaluator
    row.cfg.dataloader.test = tqdm(row.loader, desc=title, unit="batch", leave=False, disable=None)
    results = evaluate(row.model, row.cfg.dataloader, dtype=row.dtype)
    return {
        part: {name: _number(values[name]) for name in (*METRICS, *(MASK + m for m in METRICS)) if name in values}
        for part, values in results.items()
    }


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None  # JSON has no NaN


@torch.no_grad()
def flops_of_first_image(row: PreparedRow) -> dict[str, Any]:
    """FLOPs of the first test image, and its `size` (height, width)."""
    (inputs,) = row.inputs(1)
    return {"total": count_flops(row.model, [inputs])[""], "size": list(inputs["image"].shape[-2:])}


def latencies(rows: dict[str, PreparedRow], num_images: int, title: str) -> dict[str, list[float]]:
    """Seconds of the rows' forward passes on the first test images, one at a time.

    All rows take an image before any takes the next, so that whatever slows the machine slows them alike.
    """
    images = {name: row.inputs(num_images) for name, row in rows.items()}
    for name, row in rows.items():  # warms up, because the first call of a shape is slower
        _seconds(row, images[name][0])
    turns = tqdm(range(min(map(len, images.values()))), desc=title, unit="image", leave=False, disable=None)
    seconds: dict[str, list[float]] = {name: [] for name in rows}
    for turn in turns:
        for name, row in rows.items():
            seconds[name].append(_seconds(row, images[name][turn]))
    return seconds


@torch.no_grad()
def _seconds(row: PreparedRow, inputs: dict[str, Any]) -> float:
    device = torch.device(row.cfg.train.device)
    with torch.autocast(device.type, dtype=row.dtype, enabled=row.dtype is not None):
        _wait_for(device)
        start = time.perf_counter()
        row.model([inputs])
        _wait_for(device)
        return time.perf_counter() - start


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
