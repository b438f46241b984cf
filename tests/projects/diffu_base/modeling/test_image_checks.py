"""What a model in Python refuses, as people give it: half precision, pixels in 0..1, wrong shapes, no image."""

import pytest
import torch

from tests.support.tiny_models import tiny_model

IMAGE = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model():
    return tiny_model("diffu_dino_r50")


@pytest.mark.parametrize("image", [IMAGE, IMAGE.float(), IMAGE.int(), torch.zeros(3, 64, 96)])
def test_values_of_0_to_255_are_taken_in_any_type(model, image):
    with torch.no_grad():
        assert "instances" in model([{"image": image}])[0]


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            IMAGE.float() / 255,
            "image 0 of the batch has values up to 1; the model takes 0..255: multiply the image by 255",
        ),
        (IMAGE.permute(1, 2, 0), r"image 0 of the batch has the shape \(64, 96, 3\); it must be \(3, H, W\)"),
        (torch.cat([IMAGE, IMAGE[:1]]), r"has the shape \(4, 64, 96\); it must be \(3, H, W\)"),
        (IMAGE[:, :0], r"has the shape \(3, 0, 96\)"),
        (IMAGE.numpy(), r"is a ndarray; it must be a tensor \(3, H, W\)"),
        (None, "is a NoneType"),
        (IMAGE > 3, "is of type torch.bool"),
        (torch.full((3, 64, 96), float("nan")), "has values that are NaN or infinite"),
        (torch.full((3, 64, 96), float("inf")), "has values that are NaN or infinite"),
    ],
)
def test_other_images_are_refused(model, image, message):
    with pytest.raises(ValueError, match=message.replace("..", r"\.\.")):
        model([{"image": image}])


def test_the_image_is_named_by_its_place(model):
    with pytest.raises(ValueError, match="image 1 of the batch has the shape"):
        model([{"image": IMAGE}, {"image": IMAGE[0]}])


def test_a_batch_of_no_images_says_so(model):
    with pytest.raises(ValueError, match="the batch is empty: it has no images"):
        model([])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_converted_model_points_to_autocast(dtype):
    with pytest.raises(ValueError, match=rf"converted to {dtype}; .* torch.autocast\(device, {dtype}\)"):
        tiny_model("diffu_dino_r50").to(dtype)([{"image": IMAGE}])


def test_autocast_works(model):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert "instances" in model([{"image": IMAGE}])[0]
