"""A data set is split by image: the same way every time, with the classes shared out evenly."""

import random

import pytest

from datasets_utils.own_data import split_images


def content_of(classes_of_images: list[list[int]]) -> dict:
    images = [{"id": i, "file_name": f"{i}.jpg", "width": 9, "height": 9} for i in range(len(classes_of_images))]
    boxes = [
        {"id": 100 * i + k, "image_id": i, "category_id": c, "bbox": [1, 1, 5, 5]}
        for i, classes in enumerate(classes_of_images)
        for k, c in enumerate(classes)
    ]
    return {"images": images, "annotations": boxes, "categories": [{"id": c, "name": str(c)} for c in (1, 2, 3)]}


def images_with(part: dict, category: int) -> int:
    return len({a["image_id"] for a in part["annotations"] if a["category_id"] == category})


def test_every_class_comes_in_both_parts_by_its_share():
    # Class 2 is on a tenth of the images, and class 3 on a twentieth.
    content = content_of([[1] * 3 + [2] * (i % 10 == 0) + [3] * (i % 20 == 5) for i in range(200)])
    parts = split_images(content, share=0.2)
    assert {name: len(part["images"]) for name, part in parts.items()} == {"train": 160, "val": 40}
    assert [images_with(parts["val"], c) for c in (1, 2, 3)] == [40, 4, 2]
    ids = [{image["id"] for image in part["images"]} for part in parts.values()]
    assert ids[0].isdisjoint(ids[1]) and len(ids[0] | ids[1]) == 200
    for part, of_part in zip(parts.values(), ids, strict=True):
        assert part["categories"] == content["categories"]
        assert {a["image_id"] for a in part["annotations"]} <= of_part
    assert sum(len(part["annotations"]) for part in parts.values()) == len(content["annotations"])


def test_the_order_of_the_file_does_not_matter():
    content = content_of([[1, 2], [1], [2], [3, 1], [], [2], [1], [1, 3], [2], [1]])
    shuffled = {key: random.Random(1).sample(values, len(values)) for key, values in content.items()}
    chosen = [{image["id"] for image in split_images(c, share=0.3)["val"]["images"]} for c in (content, shuffled)]
    assert chosen[0] == chosen[1] and chosen[0]


def test_a_class_on_a_single_image_is_trained_on():
    parts = split_images(content_of([[1]] * 9 + [[2]]), share=0.2)
    assert images_with(parts["train"], 2) == 1


def test_two_images_and_images_without_objects_are_split_too():
    assert [len(part["images"]) for part in split_images(content_of([[1], [1]]), share=0.2).values()] == [1, 1]
    assert [len(part["images"]) for part in split_images(content_of([[]] * 10), share=0.2).values()] == [8, 2]


def test_what_cannot_be_split_is_refused():
    with pytest.raises(ValueError, match="1 images cannot be split"):
        split_images(content_of([[1]]), share=0.2)
    with pytest.raises(ValueError, match="share of validation images is 1.5"):
        split_images(content_of([[1], [1]]), share=1.5)
