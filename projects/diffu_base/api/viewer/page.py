"""The viewer's page."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from projects.diffu_base.api.pages import render
from projects.diffu_base.api.predictor import Predictor
from projects.diffu_base.api.report.thumbnails import data_uri
from projects.diffu_base.api.settings import Settings
from projects.diffu_base.version import __version__

from .record import COLORS, record

MOST_IMAGE_BYTES = 300_000


def view_page(
    predictor: Predictor,
    pixels: np.ndarray,
    name: str,
    *,
    seeds: Sequence[int] = (0, 1, 2),
    settings: Settings | None = None,
    image_id: int | None = None,
) -> str:
    """Returns a page that shows how a model denoises boxes in an image.

    Args:
        predictor: the model.
        pixels: the image, RGB (H, W, 3) uint8.
        name: what the page calls the image.
        seeds: of the draws of noise that the reader can choose from.
        settings: steps, boxes and threshold; None: the model's own.
        image_id: the image's id in its data set, with which an evaluation draws the same noise; None: no id.

    Raises:
        ValueError: the model has no diffusion, it cannot do what `settings` ask for, or there are no seeds.
    """
    settings = settings or Settings()
    settings.check(predictor.model)
    _require_draws(predictor, seeds)
    height, width = pixels.shape[:2]
    inputs: dict[str, Any] = {"image": predictor.as_input(pixels), "height": height, "width": width}
    if image_id is not None:
        inputs["image_id"] = image_id
    draws = [record(predictor, inputs, dataclasses.replace(settings, seed=seed)) for seed in seeds]
    passes, queries = len(draws[0]["passes"]), len(draws[0]["passes"][0]["scores"])
    return render(
        "viewer.html",
        data=_data(predictor, draws, pixels),
        name=name,
        passes=passes,
        queries=queries,
        seeds=list(seeds),
        has_masks=draws[0]["result"]["masks"] is not None,
        width=width,
        height=height,
        footer=f"diffu-detr {__version__}",
    )


def _require_draws(predictor: Predictor, seeds: Sequence[int]) -> None:
    """Raise a ValueError unless the model has diffusion and there are seeds."""
    if predictor.model.diffusion is None:
        raise ValueError("this model has no diffusion: it makes one pass from proposals, and there is nothing to view")
    if not seeds:
        raise ValueError("seeds is empty; the viewer shows one draw of noise or more")


def _data(predictor: Predictor, draws: list[Any], pixels: np.ndarray) -> dict[str, Any]:
    """What the page's script reads."""
    height, width = pixels.shape[:2]
    return {
        "draws": draws,
        "classNames": predictor.class_names,
        "colors": COLORS,
        "width": width,
        "height": height,
        "picture": data_uri(Image.fromarray(pixels), MOST_IMAGE_BYTES),
    }
