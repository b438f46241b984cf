import pytest
from detectron2.data import DatasetCatalog

from datasets_utils.digit_scenes import DigitSceneSettings, build_digit_scenes
from datasets_utils.register import register_digit_scenes


@pytest.fixture(scope="package")
def scenes(tmp_path_factory):
    """Dataset dicts of digit scenes, whose annotations have polygons."""
    root = tmp_path_factory.mktemp("pictures") / "digit_scenes"
    build_digit_scenes(root, DigitSceneSettings(num_train=1, num_val=5, crowded_fraction=0.4))
    register_digit_scenes(root)
    yield DatasetCatalog.get("digit_scenes_val")
    register_digit_scenes()
