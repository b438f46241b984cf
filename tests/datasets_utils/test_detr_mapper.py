import copy

import detectron2.data.transforms as T
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.structures import BoxMode
from PIL import Image

from datasets_utils import DetrDatasetMapper


@pytest.fixture
def scene(registered_scenes):
    return DatasetCatalog.get("digit_scenes_train")[0]


def test_without_augmentation_boxes_and_pixels_stay(scene):
    before = copy.deepcopy(scene)
    mapped = DetrDatasetMapper([], None)(scene)
    assert scene == before
    np.testing.assert_array_equal(mapped["image"].permute(1, 2, 0), np.asarray(Image.open(scene["file_name"])))
    expected = [BoxMode.convert(a["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS) for a in scene["annotations"]]
    torch.testing.assert_close(mapped["instances"].gt_boxes.tensor, torch.tensor(expected).float())
    assert mapped["instances"].gt_classes.tolist() == [a["category_id"] for a in scene["annotations"]]
    assert "annotations" not in mapped


def test_boxes_follow_a_resize(scene):
    mapped = DetrDatasetMapper([T.Resize((scene["height"] * 2, scene["width"] * 3))], None)(scene)
    plain = DetrDatasetMapper([], None)(scene)
    scale = torch.tensor([3.0, 2.0, 3.0, 2.0])
    torch.testing.assert_close(mapped["instances"].gt_boxes.tensor, plain["instances"].gt_boxes.tensor * scale)
    assert mapped["image"].shape[1:] == mapped["instances"].image_size


def test_either_list_is_taken_about_half_of_the_time(scene):
    mapper = DetrDatasetMapper([T.Resize((32, 32))], [T.Resize((48, 48))])
    np.random.seed(0)
    sizes = [mapper(scene)["image"].shape[-1] for _ in range(60)]
    assert set(sizes) == {32, 48} and 18 < sizes.count(32) < 42


def test_cropping_clips_boxes_and_drops_what_is_outside(scene):
    mapped = DetrDatasetMapper([T.CropTransform(0, 0, 70, 60)], None)(scene)
    boxes = mapped["instances"].gt_boxes.tensor
    assert 0 < len(boxes) < len(scene["annotations"])
    assert boxes.min() >= 0 and boxes[:, 2].max() <= 70 and boxes[:, 3].max() <= 60


def test_crowds_are_left_out(scene):
    scene["annotations"][0]["iscrowd"] = 1
    assert len(DetrDatasetMapper([], None)(scene)["instances"]) == len(scene["annotations"]) - 1


@pytest.mark.parametrize("mask_on", [True, False])
@pytest.mark.parametrize("annotations", [{}, {"annotations": []}])
def test_images_without_annotations_train_as_negatives(scene, annotations, mask_on):
    del scene["annotations"]
    instances = DetrDatasetMapper([], None, mask_on=mask_on)(scene | annotations)["instances"]
    assert len(instances) == 0 and instances.gt_boxes.tensor.shape == (0, 4)
    assert instances.gt_classes.dtype == torch.int64
    assert instances.has("gt_masks") == mask_on


def test_masks_are_kept_on_request(scene):
    assert not DetrDatasetMapper([], None)(scene)["instances"].has("gt_masks")
    masks = DetrDatasetMapper([], None, mask_on=True)(scene)["instances"].gt_masks
    assert len(masks) == len(scene["annotations"])


def test_inference_keeps_size_and_id_but_no_annotations(scene):
    mapped = DetrDatasetMapper([T.ResizeShortestEdge(64, 100)], None, is_train=False)(scene)
    assert {"height", "width", "image_id"} <= set(mapped) and not {"instances", "annotations"} & set(mapped)


def test_channel_order_follows_img_format(scene):
    rgb, bgr = (DetrDatasetMapper([], None, is_train=False, img_format=f)(scene)["image"] for f in ("RGB", "BGR"))
    torch.testing.assert_close(rgb, bgr.flip(0))


def test_a_broken_image_is_named(scene, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    for name in (broken, tmp_path / "missing.jpg"):
        with pytest.raises(ValueError, match=name.name):
            DetrDatasetMapper([], None)(scene | {"file_name": str(name)})


def test_an_image_of_another_size_than_annotated_is_named(scene):
    with pytest.raises(ValueError, match=scene["file_name"]):
        DetrDatasetMapper([], None)(scene | {"width": scene["width"] + 1})


@pytest.mark.parametrize("bbox", [[1.0, 2.0, float("nan"), 4.0], [1.0, 2.0, 3.0]])
def test_a_malformed_box_is_named_with_its_file(scene, bbox):
    scene["annotations"][1]["bbox"] = bbox
    with pytest.raises(ValueError, match=scene["file_name"] + ".*bbox is"):
        DetrDatasetMapper([], None)(scene)
