import copy

import detectron2.data.transforms as T
import numpy as np
import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.data import detection_utils as utils
from detectron2.structures import BitMasks, BoxMode
from detectron2.structures.masks import polygons_to_bitmask
from PIL import Image
from pycocotools import mask as mask_utils

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
    with pytest.raises(ValueError, match=scene["file_name"] + ".*bbox"):
        DetrDatasetMapper([], None)(scene)


@pytest.mark.parametrize("mask_on", [True, False])
def test_instances_are_the_numbers_that_detectron2_gives_one_by_one(scene, mask_on):
    corners = scene["annotations"][1]
    corners["bbox"] = BoxMode.convert(corners["bbox"], BoxMode.XYWH_ABS, BoxMode.XYXY_ABS)
    corners["bbox_mode"] = BoxMode.XYXY_ABS
    for number, annotation in enumerate(scene["annotations"]):
        annotation["bbox"] = [value + 0.1 * number for value in annotation["bbox"]]
    height, width = scene["height"], scene["width"]
    # Polygons may reach beyond a crop here; detectron2 cuts them off, by shapely.
    crop = T.NoOpTransform() if mask_on else T.CropTransform(0, 0, width, height - 30)
    resize = T.ResizeTransform(height if mask_on else height - 30, width, 71, 93)
    transforms = T.TransformList([T.HFlipTransform(width), crop, resize])
    mapped = DetrDatasetMapper([transforms], None, mask_on=mask_on)(scene)["instances"]

    unused = set() if mask_on else {"segmentation"}
    copies = copy.deepcopy([{k: v for k, v in a.items() if k not in unused} for a in scene["annotations"]])
    one_by_one = [utils.transform_instance_annotations(annotation, transforms, (71, 93)) for annotation in copies]
    expected = utils.filter_empty_instances(utils.annotations_to_instances(one_by_one, (71, 93)))
    assert torch.equal(mapped.gt_boxes.tensor, expected.gt_boxes.tensor)
    assert torch.equal(mapped.gt_classes, expected.gt_classes)
    assert mapped.has("gt_masks") == mask_on
    if mask_on:
        for ours, theirs in zip(mapped.gt_masks.polygons, expected.gt_masks.polygons, strict=True):
            assert [polygon.tolist() for polygon in ours] == [polygon.tolist() for polygon in theirs]


def test_masks_leave_the_dataset_dict_alone_and_keep_fractions(scene):
    annotation = scene["annotations"][0]
    annotation["segmentation"] = [np.array([1, 2, 30, 2, 30, 41, 1, 41])]
    before = copy.deepcopy(annotation)
    height, width = scene["height"], scene["width"]
    resize = T.ResizeTransform(height, width, height // 2, width // 2)
    polygons = DetrDatasetMapper([resize], None, mask_on=True)(scene)["instances"].gt_masks.polygons
    np.testing.assert_array_equal(annotation["segmentation"], before["segmentation"])
    np.testing.assert_allclose(polygons[0][0], [0.5, 1, 15, 1, 15, 20.5, 0.5, 20.5])


def test_cropped_masks_are_the_crop_of_the_whole_masks(scene):
    triangle = [100.0, 10.0, 140.0, 100.0, 20.0, 70.0]
    scene["annotations"] = [
        {"bbox": [20, 10, 120, 90], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1, "segmentation": [triangle]},
        {"bbox": [0, 0, 20, 20], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 2, "segmentation": [[0, 0, 9, 0, 9, 9]]},
    ]
    left, top, width, height = 60, 30, 70, 50
    crop = T.CropTransform(left, top, width, height)
    instances = DetrDatasetMapper([crop], None, mask_on=True)(scene)["instances"]
    assert instances.gt_classes.tolist() == [1]  # the other one is outside
    whole = polygons_to_bitmask([np.array(triangle)], scene["height"], scene["width"])
    cropped = polygons_to_bitmask(instances.gt_masks.polygons[0], height, width)
    expected = whole[top : top + height, left : left + width]
    assert 0.2 < expected.mean() < 0.9
    # Vertices outside are rounded to another fifth of a pixel.
    assert (cropped != expected).mean() < 0.01


@pytest.mark.parametrize("compressed", [True, False])
def test_run_lengths_become_bits_and_polygons_beside_them_too(scene, compressed):
    height, width = scene["height"], scene["width"]
    whole = np.zeros((height, width), dtype=np.uint8)
    whole[20:50, 30:90] = 1
    whole[20:30, 30:40] = 0
    run_lengths = mask_utils.encode(np.asfortranarray(whole))
    if not compressed:
        changes = np.flatnonzero(np.diff(whole.flatten("F"), prepend=0)).tolist()  # column by column
        run_lengths["counts"] = np.diff([0, *changes, whole.size]).tolist()
    corner = {"bbox": [0, 0, 10, 8], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 2}
    scene["annotations"] = [
        {"bbox": [30, 20, 60, 30], "bbox_mode": BoxMode.XYWH_ABS, "category_id": 1, "segmentation": run_lengths},
        corner | {"segmentation": [[0, 0, 10, 0, 10, 8, 0, 8]]},
        corner | {"segmentation": {"counts": [0, 8, height * width - 8], "size": [height, width]}},
    ]
    before = copy.deepcopy(scene["annotations"])
    transforms = T.TransformList([T.HFlipTransform(width), T.CropTransform(10, 5, width - 15, height - 5)])
    instances = DetrDatasetMapper([transforms], None, mask_on=True)(scene)["instances"]
    assert instances.gt_classes.tolist() == [1, 2]  # the third lies in the column that is cut off
    assert isinstance(instances.gt_masks, BitMasks) and instances.gt_masks.tensor.dtype == torch.bool
    np.testing.assert_array_equal(instances.gt_masks.tensor[0], whole[5:, ::-1][:, 10 : width - 5])
    corner = np.zeros_like(whole)
    corner[:8, :10] = 1
    np.testing.assert_array_equal(instances.gt_masks.tensor[1], corner[5:, ::-1][:, 10 : width - 5])
    assert scene["annotations"] == before


def test_run_lengths_are_resized_with_the_image(scene):
    height, width = scene["height"], scene["width"]
    whole = np.zeros((height, width), dtype=np.uint8)
    whole[: height // 2, : width // 2] = 1
    scene["annotations"][0]["segmentation"] = mask_utils.encode(np.asfortranarray(whole))
    del scene["annotations"][1:]
    resize = T.ResizeTransform(height, width, 2 * height, 2 * width)
    (mask,) = DetrDatasetMapper([resize], None, mask_on=True)(scene)["instances"].gt_masks.tensor
    assert mask.shape == (2 * height, 2 * width)
    assert mask[:height, :width].all() and mask.sum() == height * width


@pytest.mark.parametrize(
    ("segmentation", "complaint"),
    [("abc", "segmentation.*str"), ({"size": [4, 4], "counts": [0, 16]}, "segmentation.*4 x 4")],
)
def test_masks_that_cannot_be_read_are_named_with_their_file(scene, segmentation, complaint):
    scene["annotations"][0]["segmentation"] = segmentation
    with pytest.raises(ValueError, match=scene["file_name"] + ".*" + complaint):
        DetrDatasetMapper([], None, mask_on=True)(scene)


def test_an_annotation_without_a_mask_is_named_where_masks_are_asked_for(scene):
    del scene["annotations"][0]["segmentation"]
    assert len(DetrDatasetMapper([], None)(scene)["instances"]) > 0
    with pytest.raises(ValueError, match=scene["file_name"] + ".*segmentation.*mask_on"):
        DetrDatasetMapper([], None, mask_on=True)(scene)


@pytest.mark.parametrize("mode, suffix", [("L", "jpg"), ("CMYK", "jpg"), ("P", "png"), ("RGBA", "png"), ("1", "png")])
def test_pictures_of_every_kind_become_three_channels(tmp_path, mode, suffix):
    path = tmp_path / f"picture.{suffix}"
    shades = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    Image.fromarray(shades).convert(mode).save(path)
    mapped = DetrDatasetMapper([], None, is_train=False)({"file_name": str(path)})
    np.testing.assert_array_equal(mapped["image"].permute(1, 2, 0), np.asarray(Image.open(path).convert("RGB")))


def test_a_photograph_taken_upright_is_turned_upright(tmp_path):
    path = tmp_path / "upright.jpg"
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn clockwise to view
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8))
    picture.save(path, exif=exif)
    mapped = DetrDatasetMapper([], None, is_train=False)({"file_name": str(path)})
    turned = np.rot90(np.asarray(Image.open(path)), k=-1)
    np.testing.assert_array_equal(mapped["image"].permute(1, 2, 0), turned)
    assert (mapped["height"], mapped["width"]) == (50, 40)
