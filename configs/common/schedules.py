"""Learning rate schedules. A schedule is a multiplier of the optimizer's learning rates over the fraction of
``train.max_iter`` that is done, so it stretches with ``max_iter``."""

from collections.abc import Sequence

from detectron2.config import LazyCall as L
from detectron2.solver import WarmupParamScheduler
from fvcore.common.param_scheduler import MultiStepParamScheduler
from omegaconf import DictConfig

COCO_ITERS_PER_EPOCH = 7500  # 118,287 images at batch 16, rounded up as detectron2's 1x = 12 epochs = 90,000 does

# The released configs' run lengths. Their points of decay are not public: LVIS and V3Det decay where COCO does.
LVIS_ITERS_PER_EPOCH = 6250  # 100,170 images at batch 16, rounded: 12 epochs = 75,000
V3DET_ITERS_24EP = 550_000  # 24 epochs of 183,354 images at batch 8


def multistep(
    max_iter: int, milestones: Sequence[int], *, warmup_iters: int = 0, gamma: float = 0.1, warmup_factor: float = 1e-3
) -> DictConfig:
    """Linear warmup from ``warmup_factor``, then times ``gamma`` at every milestone.

    Args:
        max_iter: iterations of the whole run; state the same number in ``train.max_iter``.
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


def coco(epochs: int, decay_epoch: int, *, warmup_iters: int = 0) -> DictConfig:
    """Schedule over COCO epochs at batch 16, with one decay after ``decay_epoch`` epochs."""
    return multistep(epochs * COCO_ITERS_PER_EPOCH, [decay_epoch * COCO_ITERS_PER_EPOCH], warmup_iters=warmup_iters)


lr_multiplier_12ep = coco(12, 11)
lr_multiplier_24ep = coco(24, 20)
lr_multiplier_36ep = coco(36, 30)
lr_multiplier_50ep = coco(50, 40)

lr_multiplier_lvis_12ep = multistep(12 * LVIS_ITERS_PER_EPOCH, [11 * LVIS_ITERS_PER_EPOCH])
lr_multiplier_v3det_24ep = multistep(V3DET_ITERS_24EP, [V3DET_ITERS_24EP * 20 // 24])

# detectron2's schedules, "1x" being 12 COCO epochs at batch 16, with the warmup of DiffusionDet.
_WARMUP = dict(warmup_iters=1000, warmup_factor=0.01)
lr_multiplier_1x = multistep(90_000, [60_000, 80_000], **_WARMUP)
lr_multiplier_3x = multistep(270_000, [210_000, 250_000], **_WARMUP)
lr_multiplier_5x = multistep(450_000, [350_000, 420_000], **_WARMUP)
