"""Learning rate schedules. A schedule is a multiplier of the optimizer's learning rates over the fraction of
``train.max_iter`` that is done, so it stretches with ``max_iter``."""

from collections.abc import Sequence
from typing import Any

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler
from omegaconf import DictConfig

COCO_ITERS_PER_EPOCH = 7500  # 118,287 images / 16, rounded up: detectron2 counts 90,000 iterations as 12 epochs
COCO_DECAY_EPOCH = {12: 11, 24: 20, 36: 30, 50: 40}  # epochs of a run -> after which epoch its rate decays

# The released configs run this long. Nobody published when their rates decay; here they decay where COCO's does.
LVIS_ITERS_PER_EPOCH = 6250  # 100,170 images at batch 16, rounded: 12 epochs = 75,000
V3DET_ITERS_24EP = 550_000  # 24 epochs of 183,354 images at batch 8

# detectron2's schedules 1x, 3x and 5x, where 1x is 12 COCO epochs at batch 16: iterations of the run, and the
# iterations after which the rate decays.
STANDARD = {
    1: (90_000, (60_000, 80_000)),
    3: (270_000, (210_000, 250_000)),
    5: (450_000, (350_000, 420_000)),
}


def multistep(
    max_iter: int, milestones: Sequence[int], *, warmup_iters: int = 0, gamma: float = 0.1, warmup_factor: float = 1e-3
) -> DictConfig:
    """The rate rises linearly from ``warmup_factor``; every milestone then multiplies it by ``gamma``.

    Args:
        max_iter: iterations of the whole run; ``train.max_iter`` must be the same.
        milestones: increasing iterations, each inside (0, max_iter).
        warmup_iters: length of the warmup, in iterations.

    Raises:
        ValueError: milestones out of order or range, or a warmup that is not shorter than the run.
    """
    bounds = [0, *milestones, max_iter]
    if any(a >= b for a, b in zip(bounds, bounds[1:], strict=False)):
        raise ValueError(f"milestones must increase inside (0, {max_iter}), got {list(milestones)}")
    if not 0 <= warmup_iters < max_iter:
        raise ValueError(f"warmup_iters must lie in [0, {max_iter}), got {warmup_iters}")
    return L(WarmupParamScheduler)(
        scheduler=L(MultiStepParamScheduler)(
            values=[gamma**k for k in range(len(milestones) + 1)],
            milestones=list(milestones),
            num_updates=max_iter,
        ),
        warmup_length=warmup_iters / max_iter,
        warmup_method="linear",
        warmup_factor=warmup_factor,
    )


def set_schedule(cfg: DictConfig, max_iter: int, milestones: Sequence[int], **warmup: Any) -> None:
    """Give the run ``cfg`` its length and its schedule; see `multistep` for the arguments and errors."""
    cfg.train.max_iter = max_iter
    cfg.lr_multiplier = multistep(max_iter, milestones, **warmup)


def set_coco_schedule(cfg: DictConfig, epochs: int) -> None:
    """Make the run ``cfg`` take `epochs` COCO epochs at batch 16, with one decay.

    Raises:
        ValueError: `epochs` is none of `COCO_DECAY_EPOCH`.
    """
    _require(epochs, COCO_DECAY_EPOCH, "epochs")
    set_schedule(cfg, epochs * COCO_ITERS_PER_EPOCH, [COCO_DECAY_EPOCH[epochs] * COCO_ITERS_PER_EPOCH])


def set_lvis_schedule(cfg: DictConfig, epochs: int) -> None:
    """Make the run ``cfg`` take `epochs` LVIS epochs at batch 16, with one decay.

    Raises:
        ValueError: `epochs` is none of `COCO_DECAY_EPOCH`.
    """
    _require(epochs, COCO_DECAY_EPOCH, "epochs")
    set_schedule(cfg, epochs * LVIS_ITERS_PER_EPOCH, [COCO_DECAY_EPOCH[epochs] * LVIS_ITERS_PER_EPOCH])


def set_v3det_schedule(cfg: DictConfig) -> None:
    """Make the run ``cfg`` take 24 V3Det epochs at batch 8, with one decay after 20."""
    set_schedule(cfg, V3DET_ITERS_24EP, [V3DET_ITERS_24EP * 20 // 24])


def set_standard_schedule(cfg: DictConfig, times: int) -> None:
    """Give the run ``cfg`` detectron2's schedule 1x, 3x or 5x, with the warmup of DiffusionDet.

    Raises:
        ValueError: `times` is none of `STANDARD`.
    """
    _require(times, STANDARD, "times")
    set_schedule(cfg, *STANDARD[times], warmup_iters=1000, warmup_factor=0.01)


def _require(value: int, allowed: dict[int, Any], name: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is {value}; allowed are {', '.join(map(str, allowed))}")
