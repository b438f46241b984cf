"""What a prediction may be told: how long to denoise, how many boxes, from which score on a detection counts."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from projects.diffu_base.modeling.detector import Detector


@dataclass(frozen=True)
class Settings:
    """Settings of a prediction.

    Attributes:
        steps: passes of the network, a dial of time against accuracy; None: the model's own number.
        boxes: boxes that are denoised, any number; None: the model's own number.
        threshold: detections below this score are left out; None: the model's own threshold for each class.
        seed: of the noise. An image gets the same noise wherever it stands. None draws new noise every time.
        draws: how often noise is drawn, see `projects.diffu_base.api.agreement`.
        batch: images that are read and detected in at a time.
        tiles: the side in pixels of the tiles that pictures are cut into, see `projects.diffu_base.api.tiles`; None:
            none.
        start_boxes: boxes (N, 4), absolute xyxy, to be denoised: of the only image, of each image in a list, or by the
            images' names. See `projects.diffu_base.api.start_boxes`. None: boxes start as the model's sampler starts.
    """

    steps: int | None = None
    boxes: int | None = None
    threshold: float | None = None
    seed: int | None = 0
    draws: int = 1
    batch: int = 4
    tiles: int | None = None
    start_boxes: Any = None

    def check(self, model: Detector) -> None:
        """Raise a ValueError if the model cannot do what is asked for."""
        for name in ("steps", "boxes", "draws", "batch", "tiles"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} is {value!r}; it must be a whole number from 1 on")
        if self.threshold is not None and not 0 <= self.threshold <= 1:
            raise ValueError(f"threshold is {self.threshold!r}; it must lie in [0, 1]")
        if self.draws > 1 and (self.tiles is not None or self.start_boxes is not None):
            raise ValueError(f"draws is {self.draws}; with tiles or start_boxes there is one draw")
        if self.tiles is not None and self.start_boxes is not None:
            raise ValueError("start_boxes and tiles exclude each other")
        if model.diffusion is None and self.start_boxes is not None:
            raise ValueError("start_boxes are denoised, but this model has no diffusion")
        if model.diffusion is None:
            for name in ("steps", "draws"):
                if getattr(self, name) not in (None, 1):
                    raise ValueError(
                        f"{name} is {getattr(self, name)}; this model has no diffusion, so it makes one pass and draws "
                        "no noise"
                    )
        elif self.steps is not None and self.steps >= model.diffusion.num_timesteps:
            raise ValueError(f"steps is {self.steps}; this model allows 1 to {model.diffusion.num_timesteps - 1}")


@contextmanager
def dialled(model: Detector, settings: Settings) -> Iterator[None]:
    """A context in which the model samples as `settings` say. At its end the model is as before.

    With more boxes than the model has detections to give, it gives as many detections as boxes.
    """
    before = model.sampler, model.num_boxes, model.select_box_nums_for_evaluation
    model.sampler = copy.copy(model.sampler)
    model.sampler.seed = settings.seed
    if settings.steps is not None:
        model.sampler.num_steps = settings.steps
    if settings.boxes is not None:
        model.num_boxes = settings.boxes
        model.select_box_nums_for_evaluation = max(model.select_box_nums_for_evaluation, settings.boxes)
    try:
        yield
    finally:
        model.sampler, model.num_boxes, model.select_box_nums_for_evaluation = before
