"""Queries that start from distinct proposals: one evaluation of the decoder, few queries, no NMS."""

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from layers_diffu_detr.ldm.ensemble import LastPass
from layers_diffu_detr.ldm.starts import DistinctProposalStart
from layers_diffu_detr.training_starts import ProposalQueries


def use_distinct_queries(model: DictConfig, most: int, iou_threshold: float = 0.3) -> None:
    """Make the queries of `model`, of the DETR family, start from distinct proposals, in training and in inference.

    A query has the content of its own proposal, so content and box belong together. A diffusion model evaluates its
    decoder once, at timestep 0.

    Args:
        most: the most queries of an image; `model.num_queries` remains the number of proposals that they are chosen of.
        iou_threshold: see `DistinctProposalStart`.
    """
    model.transformer.tgt_embed = None
    model.sampler.start = L(DistinctProposalStart)(iou_threshold=iou_threshold, most=most)
    model.sampler.merge = None
    if model.get("diffusion"):
        model.diffused_queries = L(ProposalQueries)(start="${..sampler.start}")
        model.sampler.update(num_steps=1, times=[0], last_time=-1, renewal=None, ensemble=L(LastPass)())
