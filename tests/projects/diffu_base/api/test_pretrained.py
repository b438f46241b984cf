"""Finding and loading a trained model."""

import shutil

import numpy as np
import pytest
import torch

from projects.diffu_base import from_pretrained
from tests.support.model_folders import DINO, write_averaged_run, write_small_folder

pytestmark = pytest.mark.slow

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_small_folder(tmp_path_factory.mktemp("models") / "m")


def test_the_output_folder_of_a_training_gives_its_best_model(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "model_final")
    assert from_pretrained(tmp_path, device="cpu").class_names[0] == "person"
    best = write_small_folder(tmp_path / "model_best", seed=1)
    weights = [from_pretrained(each, device="cpu").model.class_embed[0].weight for each in (tmp_path, best, folder)]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_a_checkpoint_beside_its_config_is_loaded_with_the_weights_that_evaluation_takes(tmp_path):
    model = write_averaged_run(tmp_path)
    detector = from_pretrained(tmp_path / "model_final.pth", device="cpu")
    assert detector.info.weights == "averaged" and not detector.model.class_embed[0].weight.any()
    torch.save({"model": model.state_dict()}, tmp_path / "plain.pth")
    detector = from_pretrained(tmp_path / "plain.pth", device="cpu")
    assert detector.info.weights == "plain" and detector.model.class_embed[0].weight.any()


def test_a_configs_name_with_its_checkpoint(folder, tmp_path):
    weights = folder / "model.safetensors"
    detector = from_pretrained(folder / "config.yaml", checkpoint=weights, device="cpu")
    np.testing.assert_array_equal(
        detector.predict(IMAGE)[0].boxes, from_pretrained(folder, device="cpu").predict(IMAGE)[0].boxes
    )
    with pytest.raises(ValueError, match="does not fit the model"):
        from_pretrained("diffu_dino/demo/digits", checkpoint=weights, device="cpu")


def test_steps_are_the_models_own_from_then_on(folder):
    assert from_pretrained(folder, device="cpu", steps=5).model.sampler.num_steps == 5
    with pytest.raises(ValueError, match="steps is 100; this model allows 1 to 99"):
        from_pretrained(folder, device="cpu", steps=100)


def test_a_baseline_makes_one_step(tmp_path):
    folder = write_small_folder(tmp_path / "m", DINO)
    with pytest.raises(ValueError, match="no diffusion"):
        from_pretrained(folder, device="cpu", steps=3)


def test_mistakes_are_named(folder, tmp_path):
    (tmp_path / "lfs.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n")
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "empty").mkdir()
    for source, message in (
        (tmp_path / "nowhere", "there is no model"),
        (tmp_path / "empty", "holds no model"),
        (tmp_path / "gone.pth", "no such file"),
        (tmp_path / "photo.jpg", "is a file, but no checkpoint"),
        (tmp_path / "lfs.pth", "is a checkpoint without a config.yaml beside it"),
    ):
        with pytest.raises(ValueError, match=message):
            from_pretrained(source, device="cpu")
    with pytest.raises(ValueError, match="lfs.pth is the pointer of Git LFS"):
        from_pretrained(folder / "config.yaml", checkpoint=tmp_path / "lfs.pth", device="cpu")
    with pytest.raises(ValueError, match="dtype is 'int8'; allowed are float32, bfloat16, float16"):
        from_pretrained(folder, dtype="int8")
    with pytest.raises(ValueError, match="device is 'tpu9'"):
        from_pretrained(folder, device="tpu9")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there(folder):
    with pytest.raises(ValueError, match="PyTorch finds no CUDA device"):
        from_pretrained(folder, device="cuda")


def test_weights_and_classes_of_different_models_are_refused(folder, tmp_path):
    mixed = shutil.copytree(folder, tmp_path / "mixed")
    text = (mixed / "model.json").read_text()
    (mixed / "model.json").write_text(text.replace('"person",', "").replace("    1,\n", "", 1))
    with pytest.raises(ValueError, match="model.json names 79 classes; the model has 80"):
        from_pretrained(mixed, device="cpu")


def test_a_damaged_weight_file_is_named(folder, tmp_path):
    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1")
    with pytest.raises(ValueError, match="model.safetensors"):
        from_pretrained(damaged, device="cpu")
