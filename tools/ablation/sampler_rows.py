"""The rows of `--samplers`: other starts, renewals, stops and merges than the released ones, without any training."""

from detectron2.config import instantiate
from omegaconf import DictConfig

from layers_diffu_detr.ldm.ddim import DDIMUpdate
from layers_diffu_detr.ldm.ensemble import LastPass
from layers_diffu_detr.ldm.renewal import DistinctRenewal, NothingNew
from layers_diffu_detr.ldm.starts import DistinctProposalStart, FilledProposalStart, ProposalStart, SobolStart
from layers_diffu_detr.merging import BoxVoting, SoftNMS
from layers_diffu_detr.postprocess import ClassWiseNMS

from .rows import Row, slot

# When a chain from proposals has its passes, as shares of T: a single one, and those of a chain.
_TIMES, _LATER_TIMES = (0.66, 0.33, 0.1), (0.33, 0.1)
_START, _MERGE = "model.sampler.start", "model.sampler.merge"
_NO_MERGE = (f"{_MERGE}=null",)
_NMS = slot(_MERGE, ClassWiseNMS, iou_threshold=0.8, min_passes=1)
_VOTING = slot(_MERGE, BoxVoting, iou_threshold=0.65, vote_iou_threshold=0.8, min_passes=1)
_SOFT_NMS = slot(_MERGE, SoftNMS, sigma=1.0, min_passes=1)
_LAST = slot("model.sampler.ensemble", LastPass)
_RENEWAL = slot("model.sampler.renewal", DistinctRenewal, iou_threshold=0.3)

Settings = dict[str, tuple[str, ...]]  # name -> overrides


def sampler_rows(cfg: DictConfig) -> list[Row]:
    """The rows of a model that change its sampler's start, times, renewal, stop and merge.

    Of the 3 passes from noise, as released, the rows change the merge alone. A baseline has distinct starts alone.
    """
    distinct = slot(_START, DistinctProposalStart, iou_threshold=0.3)
    if not instantiate(cfg.model.sampler).needs_diffusion:
        settings = {"distinct start, no NMS": (*distinct, *_NO_MERGE), "distinct start, NMS": (*distinct, *_NMS)}
        return [Row(name, overrides) for name, overrides in settings.items()]
    timesteps = cfg.model.diffusion.betas.num_timesteps
    times, later = ([round(share * timesteps) for share in shares] for shares in (_TIMES, _LATER_TIMES))
    settings = {**_one_evaluation(distinct, times), **_chains(distinct, times, later), **_from_noise()}
    return [Row(name, overrides) for name, overrides in settings.items()]


def _passes(number: int, times: list[int]) -> tuple[str, ...]:
    return f"model.sampler.num_steps={number}", f"model.sampler.times={times}".replace(" ", "")


def _one_evaluation(distinct: tuple[str, ...], times: list[int]) -> Settings:
    """One pass: from distinct proposals, from all proposals, from noise that fills space evenly."""
    starts = {
        "distinct start": (*_passes(1, times), *distinct),
        "all proposals": (*_passes(1, times), *slot(_START, ProposalStart)),
        "Sobol start": ("model.sampler.num_steps=1", *slot(_START, SobolStart)),
    }
    return {
        f"1 evaluation, {start}, {merge}": (*overrides, *how)
        for start, overrides in starts.items()
        for merge, how in (("no NMS", _NO_MERGE), ("NMS", _NMS))
    }


def _chains(distinct: tuple[str, ...], times: list[int], later: list[int]) -> Settings:
    """Two and three passes from proposals, with DDIM's update and distinct renewal."""
    update = slot("model.sampler.update", DDIMUpdate, eta=0.0)
    filled = slot(_START, FilledProposalStart, iou_threshold=0.3)
    settings: Settings = {}
    for name, start in (("distinct start", distinct), ("filled start", filled)):
        slots = (*update, *_RENEWAL, *start)
        for number in (2, 3):
            own, title = (*_passes(number, times), *slots), f"{number} evaluations, {name}, distinct renewal"
            settings[title] = (*own, *_NMS)
            settings[f"{title}, box voting"] = (*own, *_VOTING)
            settings[f"{title}, soft-NMS"] = (*own, *_SOFT_NMS)
            settings[f"{title}, last pass only, no NMS"] = (*own, *_LAST, *_NO_MERGE)
            settings[f"{title}, last pass only, NMS"] = (*own, *_LAST, *_NMS)
        settings[f"2 evaluations, {name}, distinct renewal, later times"] = (*_passes(2, later), *slots, *_NMS)
        stop = slot("model.sampler.stop", NothingNew)
        settings[f"up to 3 evaluations, {name}, distinct renewal, stop"] = (*_passes(3, times), *slots, *_NMS, *stop)
    return settings


def _from_noise() -> Settings:
    """Three passes from noise that the released sampler makes, merged in other ways, and from Sobol's."""
    three = ("model.sampler.num_steps=3",)
    return {
        "3 evaluations, soft-NMS": (*three, *_SOFT_NMS),
        "3 evaluations, box voting": (*three, *_VOTING),
        "3 evaluations, distinct renewal": (*three, *_RENEWAL),
        "3 evaluations, Sobol start": (*three, *slot(_START, SobolStart)),
        "up to 3 evaluations, stop": (*three, *slot("model.sampler.stop", NothingNew)),
    }
