"""Splits a data set by image into training and validation, with the classes shared out evenly."""

import zlib
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import Any

TRAIN, VAL = "train", "val"


def split_images(content: Mapping[str, Any], *, share: float) -> dict[str, dict[str, Any]]:
    """Split the content of a COCO file into a training part and a validation part.

    The classes are shared out one after another, the rarest first (Sechidis et al. 2011): the next image with the class
    goes to the part that still lacks more of it. An image's place depends on the file names and the annotations, not on
    their order in the file.

    Args:
        content: `images`, `annotations`, `categories` and what else the file has.
        share: the validation part's share of the images, in (0, 1).

    Returns:
        {"train": content, "val": content}, each with all categories. The validation part has at least one image.

    Raises:
        ValueError: there are fewer than two images, or `share` is not in (0, 1).
    """
    images = content["images"]
    if len(images) < 2:
        raise ValueError(f"{len(images)} images cannot be split into training and validation data; it takes 2 or more")
    if not 0 < share < 1:
        raise ValueError(f"the share of validation images is {share}; it must lie between 0 and 1")
    ordered = sorted(images, key=lambda image: (zlib.crc32(str(image["file_name"]).encode()), str(image["file_name"])))
    classes: dict[Any, set[Any]] = {image["id"]: set() for image in ordered}
    for annotation in content["annotations"]:
        if annotation.get("image_id") in classes:
            classes[annotation["image_id"]].add(annotation.get("category_id"))
    validation = _chosen(classes, share) or {ordered[0]["id"]}
    return {
        name: {
            **content,
            "images": [image for image in images if (image["id"] in validation) == (name == VAL)],
            "annotations": [a for a in content["annotations"] if (a.get("image_id") in validation) == (name == VAL)],
        }
        for name in (TRAIN, VAL)
    }


def _chosen(classes: Mapping[Any, Collection[Any]], share: float) -> set[Any]:
    """The images of the validation part.

    Args:
        classes: image -> the classes on it; the order decides between images that serve equally well.
    """
    images_of: dict[Any, list[Any]] = defaultdict(list)
    for image, on_it in classes.items():
        for each in on_it:
            images_of[each].append(image)
    lacking = {each: share * len(images) for each, images in images_of.items()}  # images of the class
    lacking_in_all = share * len(classes)
    left, chosen = set(classes), set()

    def place(image: Any, *, in_validation: bool) -> None:
        nonlocal lacking_in_all
        left.remove(image)
        if in_validation:
            chosen.add(image)
            lacking_in_all -= 1
            for each in classes[image]:
                lacking[each] -= 1

    for each, images in sorted(images_of.items(), key=lambda item: (len(item[1]), str(item[0]))):
        for image in images:
            if image in left:
                place(image, in_validation=lacking[each] >= 0.5)
    for image in [image for image in classes if image in left]:  # those without objects
        place(image, in_validation=lacking_in_all >= 0.5)
    return chosen
