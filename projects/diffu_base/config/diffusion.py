"""What diffusion adds to a baseline's model tree, as released."""

from detectron2.config import LazyCall as L
from omegaconf import DictConfig

from layers_diffu_detr.conditioning import ScaleShiftConditioning
from layers_diffu_detr.denoising import DiffusedQueries, NoisyFiller
from layers_diffu_detr.ldm.ddim import DDIMSampler, ReleasedUpdate
from layers_diffu_detr.ldm.diffusion import GaussianDiffusion, GaussianNoise
from layers_diffu_detr.ldm.ensemble import AllPasses
from layers_diffu_detr.ldm.renewal import TimeRenewal
from layers_diffu_detr.ldm.schedule import cosine_betas
from layers_diffu_detr.ldm.timestep import TimestepEmbedding
from layers_diffu_detr.postprocess import ClassWiseNMS


def add_diffusion(model: DictConfig) -> None:
    """Fill those slots of `model` that make a diffusion model: forward process, queries, sampler, timestep."""
    model.diffusion = L(GaussianDiffusion)(
        betas=L(cosine_betas)(num_timesteps=100), signal_scale=2.0, noise=L(GaussianNoise)()
    )
    model.diffused_queries = L(DiffusedQueries)(filler=L(NoisyFiller)())
    model.sampler = L(DDIMSampler)(
        num_steps=3,
        update=L(ReleasedUpdate)(eta=0.0),
        renewal=L(TimeRenewal)(),
        ensemble=L(AllPasses)(),
        merge=L(ClassWiseNMS)(iou_threshold=0.8, min_passes=2),
        seed=None,
    )
    model.transformer.time_embed = L(TimestepEmbedding)(embed_dim="${...embed_dim}")
    model.transformer.decoder.conditioning = L(ScaleShiftConditioning)(embed_dim="${....embed_dim}")
