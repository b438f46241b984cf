"""Checks of the images that a model is given: a mistake ends here, by name, and not deep in the network."""

import torch
from torch import Tensor


def check_images(batched_inputs: list[dict], pixel_mean: Tensor, *, training: bool) -> None:
    """Check detectron2's inputs before they are normalized.

    Args:
        batched_inputs: each has an `image`.
        pixel_mean: the model's statistics, whose type tells that of its weights.
        training: leaves out what would cost time on each image.

    Raises:
        ValueError: there are no images; an image is no tensor (3, H, W) of integers or floats, is empty, or has values
            in 0..1 or NaN; or the model was converted to half precision.
    """
    if pixel_mean.dtype in (torch.float16, torch.bfloat16):
        raise ValueError(
            f"the model was converted to {pixel_mean.dtype}; keep its weights in float32 and run it under "
            f"torch.autocast(device, {pixel_mean.dtype})"
        )
    if not batched_inputs:
        raise ValueError("the batch is empty: it has no images")
    for position, inputs in enumerate(batched_inputs):
        _check_image(inputs.get("image"), f"image {position} of the batch", training)


def _check_image(image: object, name: str, training: bool) -> None:
    if not isinstance(image, Tensor):
        raise ValueError(f"{name} is a {type(image).__name__}; it must be a tensor (3, H, W)")
    if image.dim() != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(f"{name} has the shape {tuple(image.shape)}; it must be (3, H, W)")
    if image.dtype == torch.bool or image.is_complex():
        raise ValueError(f"{name} is of type {image.dtype}; it must hold numbers in 0..255")
    # A program that is traced has no values yet. Loaders give uint8, so training has nothing to look for.
    if training or not image.is_floating_point() or torch.compiler.is_compiling() or torch.jit.is_tracing():
        return
    largest = float(image.max())
    if not largest < float("inf"):  # NaN is not less than anything
        raise ValueError(f"{name} has values that are NaN or infinite")
    if 0 < largest <= 1:
        raise ValueError(f"{name} has values up to {largest:g}; the model takes 0..255: multiply the image by 255")
