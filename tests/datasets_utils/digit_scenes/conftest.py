import pytest
from pycocotools.coco import COCO


@pytest.fixture(params=["train", "val"])
def split(request):
    return request.param


@pytest.fixture
def coco(scenes_root, split):
    return COCO(scenes_root / "annotations" / f"instances_{split}.json")
