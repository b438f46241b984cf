"""Training queries that start where inference's do. Objects for the slot `diffused_queries` of a diffusion model.

`layers_diffu_detr.denoising.DiffusedQueries`, the released way, starts from diffused ground truth instead.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import torch
from torch import Tensor

from .denoising import DiffusedQueries, Filler
from .ldm.box_noise import BoxNoise, RelativeNoise
from .ldm.ddim import DDIMSampler
from .ldm.diffusion import NoiseSource
from .ldm.passes import QueryBoxes
from .ldm.starts import ProposalStart
from .targets import Target
from .training_batch import TrainingBatch, TrainingStart


class ProposalQueries:
    """The network's proposals, as inference starts from them. They are matched with the targets wherever they lie.

    Args:
        start: chooses among the proposals; a config gives the sampler's, `${..sampler.start}`. Its own noise is not
            used.
        noise: moves the boxes, by the noise of a random time per image; None: the boxes stay, at the time `t`.
        t: the time of boxes that stay.

    Raises:
        ValueError: t is negative.
    """

    def __init__(self, start: ProposalStart, noise: BoxNoise | None = None, t: int = 0) -> None:
        if t < 0:
            raise ValueError(f"diffused_queries.t is {t}; it must not be negative")
        self.start = start
        self.noise = noise
        self.t = t

    @torch.no_grad()
    def __call__(self, batch: TrainingBatch) -> tuple[QueryBoxes, Tensor]:
        """See `TrainingStart`.

        Raises:
            ValueError: the network has no proposals, or the diffusion no time `t`.
        """
        proposals, diffusion = batch.proposals, batch.diffusion
        if proposals is None:
            raise ValueError("model.diffused_queries is ProposalQueries; this model has no proposals to start from")
        if self.t >= diffusion.num_timesteps:
            raise ValueError(
                f"diffused_queries.t is {self.t}; {diffusion.num_timesteps} timesteps allow 0 to "
                f"{diffusion.num_timesteps - 1}"
            )
        queries = self.start.choose(proposals)
        t = torch.full((len(proposals),), self.t, device=proposals.device)
        if self.noise is None:
            return queries, t
        t = torch.randint_like(t, diffusion.num_timesteps)
        noise = diffusion.sample_noise(queries.boxes.shape, proposals.device)
        return replace(queries, boxes=self.noise(queries.boxes, t, noise, diffusion)), t


class RolledOutQueries:
    """What a chain feeds its passes: the sampler runs, without gradients, up to a random pass, which is then trained.

    The passes before it run in the mode that the network is in. They use the memory of the step, so backbone and
    encoder run once.

    Args:
        sampler: its start, update, renewal, stop and times make the boxes. It may differ from inference's sampler; a
            config gives that one by `${..sampler}`.
    """

    def __init__(self, sampler: DDIMSampler) -> None:
        self.sampler = sampler

    @torch.no_grad()
    def __call__(self, batch: TrainingBatch) -> tuple[QueryBoxes, Tensor]:
        """See `TrainingStart`.

        Raises:
            ValueError: the model gives no network.
        """
        if batch.denoise is None:
            raise ValueError("model.diffused_queries is RolledOutQueries; this model gives training no network to run")
        shape = len(batch.targets), batch.num_queries, 4
        draw = NoiseSource(batch.diffusion, shape, batch.diffusion.alphas_cumprod.device)
        trained = int(torch.randint(self.sampler.num_steps, ()))
        chain = self.sampler.chain(batch.denoise, batch.diffusion, draw, batch.proposals, passes=[])
        *_, last = islice(chain, trained + 1)  # fewer if the sampler stops before
        return last


class MixedQueries:
    """Each batch starts in one of several ways, drawn at random.

    Args:
        starts: the ways, see `TrainingStart`.
        weights: how often each is drawn, in proportion; None: all equally often.

    Raises:
        ValueError: there are no ways, not as many weights as ways, or a weight is negative.
    """

    def __init__(self, starts: Sequence[TrainingStart], weights: Sequence[float] | None = None) -> None:
        weights = [1.0] * len(starts) if weights is None else [float(weight) for weight in weights]
        if not starts:
            raise ValueError("diffused_queries.starts is []; it needs at least one way to start")
        if len(weights) != len(starts) or min(weights) < 0 or sum(weights) == 0:
            raise ValueError(
                f"diffused_queries.weights is {weights}; it needs {len(starts)} numbers from 0 on, not all of them 0"
            )
        self.starts = list(starts)
        self.weights = torch.tensor(weights)

    def __call__(self, batch: TrainingBatch) -> tuple[QueryBoxes, Tensor]:
        """See `TrainingStart`."""
        return self.starts[int(torch.multinomial(self.weights, 1))](batch)


class DuplicatedQueries(DiffusedQueries):
    """`DiffusedQueries` with several boxes near each target instead of one, as the passes of a chain have them.

    With one-to-one matching, training then punishes duplicates.

    Args:
        filler: see `DiffusedQueries`.
        copies: the fewest and the most boxes of a target; each batch draws a number.
        noise_scale: how far the copies lie from their target, see `RelativeNoise`.

    Raises:
        ValueError: copies are not two numbers of which the first is at least 1 and the second not smaller.
    """

    def __init__(self, filler: Filler, copies: Sequence[int] = (3, 13), noise_scale: float = 0.2) -> None:
        super().__init__(filler)
        fewest, most = copies
        if not 1 <= fewest <= most:
            raise ValueError(f"diffused_queries.copies is {list(copies)}; it needs two rising numbers from 1 on")
        self.fewest, self.most = fewest, most
        self.noise = RelativeNoise(noise_scale)

    def padded_boxes(self, targets: list[Target], num_queries: int) -> Tensor:
        """See `DiffusedQueries.padded_boxes`; the targets are repeated and moved."""
        copies = int(torch.randint(self.fewest, self.most + 1, ()))
        return super().padded_boxes([self.repeated(target, copies) for target in targets], num_queries)

    def repeated(self, target: Target, copies: int) -> Target:
        """An image's targets, and `copies` - 1 moved ones of each."""
        boxes, labels = target["boxes"].repeat(copies, 1), target["labels"].repeat(copies)
        original = len(target["boxes"])
        moved = self.noise.moved(boxes[original:], torch.randn_like(boxes[original:]))
        return {"labels": labels, "boxes": torch.cat([boxes[:original], moved])}
