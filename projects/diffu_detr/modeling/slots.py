"""Checks that the slots of a model of the DETR family go together."""

from collections.abc import Sequence

from layers_diffu_detr.ldm.ddim import Sampler
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion
from layers_diffu_detr.training_batch import TrainingStart
from projects.diffu_detr.modeling.transformer import DeformableTransformer


def check_slots(
    diffusion: GaussianDiffusion | None,
    diffused_queries: TrainingStart | None,
    transformer: DeformableTransformer,
    sampler: Sampler,
    refinement_times: Sequence[int],
) -> None:
    """Refuse a model of which one slot is filled as in a diffusion model and another as in a baseline."""
    if (diffusion is None) != (diffused_queries is None):
        raise ValueError("model.diffusion and model.diffused_queries go together: set both, or neither for a baseline")
    if (diffusion is None) != (transformer.time_embed is None):
        raise ValueError("model.diffusion and model.transformer.time_embed go together: set both or neither")
    if (diffusion is not None) != sampler.needs_diffusion:
        raise ValueError(
            "model.diffusion and model.sampler go together: a baseline takes a sampler that needs no diffusion, a "
            f"diffusion model one that does; model.sampler is {type(sampler).__name__}"
        )
    if diffusion is None and transformer.self_conditioning is not None:
        raise ValueError(
            "model.transformer.self_conditioning passes a state from pass to pass; a baseline has one pass"
        )
    wrong = [t for t in refinement_times if diffusion is None or not 0 <= t < diffusion.num_timesteps]
    if wrong:
        allowed = (
            "a baseline has no timesteps" if diffusion is None else f"0 to {diffusion.num_timesteps - 1} are allowed"
        )
        raise ValueError(f"model.refinement_times has {wrong[0]}; {allowed}")
