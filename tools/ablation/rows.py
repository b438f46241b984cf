"""The rows of an ablation: settings of a trained model, each a name and overrides of its config."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from detectron2.config import instantiate
from omegaconf import DictConfig

from layers_diffu_detr.ldm.ddim import DDIMUpdate, FreshNoise, ReleasedUpdate
from layers_diffu_detr.ldm.ensemble import LastPass
from layers_diffu_detr.postprocess import ClassWiseNMS

DECODER_EVALUATIONS = (1, 3, 5, 10)
_FAMILY_IOU = 0.8  # the threshold of the DETR family's NMS, for baselines, whose configs have none


@dataclass(frozen=True)
class Row:
    """A setting of a model: `overrides`, ``key=value``, are applied to its config one after the other."""

    name: str
    overrides: tuple[str, ...] = ()


def parse_row(text: str) -> Row:
    """A row from ``name: key=value ...``. A value with spaces stands in quotation marks.

    Raises:
        ValueError: naming the text.
    """
    name, colon, words = text.partition(":")
    overrides = tuple(shlex.split(words))
    if not colon or not name.strip() or not all("=" in word for word in overrides):
        raise ValueError(f'--row {text!r} is not of the form "name: key=value ..."')
    return Row(name.strip(), overrides)


def slot(key: str, factory: type, **arguments: Any) -> tuple[str, ...]:
    """The overrides that put another object into the slot `key` of a config."""
    words = [f"_target_: {factory.__module__}.{factory.__qualname__}", *(f"{k}: {v}" for k, v in arguments.items())]
    # The slot is emptied first, because the new object would otherwise get arguments of the old one.
    return f"{key}=null", f"{key}={{{', '.join(words)}}}"


def evaluations_row(number: int) -> Row:
    """The row with this number of decoder evaluations."""
    return Row(f"{number} evaluation{'s' * (number > 1)}", (f"model.sampler.num_steps={number}",))


def standard_rows(cfg: DictConfig, evaluations: Sequence[int] = ()) -> list[Row]:
    """The rows that tell where a model's AP comes from.

    A baseline has two rows, without and with NMS. A diffusion model has rows with different numbers of decoder
    evaluations, and controls, where S is the number in its config: a single evaluation with NMS; the same with S times
    as many queries; S evaluations without one thing that the model has; S evaluations with another update.

    Args:
        evaluations: for a diffusion model, only the rows with these numbers of evaluations; empty: all rows.
    """
    sampler = instantiate(cfg.model.sampler)
    iou = getattr(sampler.merge, "iou_threshold", _FAMILY_IOU)
    always_nms = slot("model.sampler.merge", ClassWiseNMS, iou_threshold=iou, min_passes=1)
    if not sampler.needs_diffusion:
        return [Row("no NMS", ("model.sampler.merge=null",)), Row("NMS", always_nms)]
    if evaluations:
        return [evaluations_row(n) for n in evaluations]
    steps = sampler.num_steps if sampler.num_steps > 1 else 3
    by_number = {n: evaluations_row(n) for n in sorted({*DECODER_EVALUATIONS, steps})}
    boxes = "num_queries" if "num_queries" in cfg.model else "num_proposals"  # DiffusionInst's name
    more = steps * cfg.model[boxes]
    # NMS gets as many candidates as from S evaluations.
    candidates = f"model.select_box_nums_for_evaluation={steps * cfg.model.select_box_nums_for_evaluation}"
    one = by_number.pop(1)
    return [
        one,
        Row(f"{one.name}, NMS", (*one.overrides, *always_nms)),
        Row(
            f"{one.name}, NMS, {more} {boxes.removeprefix('num_')}",
            (*one.overrides, *always_nms, f"model.{boxes}={more}", candidates),
        ),
        *by_number.values(),
        *(
            Row(f"{by_number[steps].name}, {name}", (*by_number[steps].overrides, *overrides))
            for name, overrides in _controls(sampler.update, always_nms).items()
        ),
    ]


def _controls(update: Any, always_nms: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    """The overrides of the rows that lack one thing that the model has, or have another update, by their names."""
    other, other_name = _other_update(update)
    last = slot("model.sampler.ensemble", LastPass)
    return {
        "no NMS": ("model.sampler.merge=null",),
        "no renewal": ("model.sampler.renewal=null",),
        "last pass only": last,
        "last pass only, NMS": (*last, *always_nms),
        "fresh noise": slot("model.sampler.update", FreshNoise),
        other_name: other,
        f"{other_name}, last pass only": (*other, *last),
    }


def _other_update(update: Any) -> tuple[tuple[str, ...], str]:
    """The overrides and the name of the update that the config does not have: the correct one, or the released one."""
    other, name = (
        (DDIMUpdate, "correct update") if isinstance(update, ReleasedUpdate) else (ReleasedUpdate, "released update")
    )
    return slot("model.sampler.update", other, eta=getattr(update, "eta", 0.0)), name
