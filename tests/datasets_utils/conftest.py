import pytest

from datasets_utils.digit_scenes import DigitSceneSettings, build_digit_scenes


@pytest.fixture(scope="session")
def scene_settings():
    return DigitSceneSettings(num_train=12, num_val=6, crowded_fraction=0.5, seed=3)


@pytest.fixture(scope="session")
def scenes_root(tmp_path_factory, scene_settings):
    root = tmp_path_factory.mktemp("data") / "digit_scenes"
    build_digit_scenes(root, scene_settings)
    return root


@pytest.fixture
def registered_scenes(scenes_root):
    from datasets_utils.register import register_digit_scenes

    register_digit_scenes(scenes_root)
    yield
    register_digit_scenes()
