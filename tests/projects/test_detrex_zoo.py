"""The weights of detrex's model zoo fit this project's models: every name and shape of a full-size state dict."""

import pytest
import torch
from detectron2.config import LazyConfig, instantiate
from detectron2.modeling import backbone as detectron2_backbone
from omegaconf import DictConfig

from layers_diffu_detr.checkpoint import load_weights
from projects.diffu_base.config import backbones
from tests.support.detrex_checkout import CHECKOUT
from tests.support.tiny_models import ROOT


def our_config(path: str, swin: str | None = None) -> DictConfig:
    config = LazyConfig.load(str(ROOT / "projects" / path)).model
    if swin is not None:
        backbones.use_backbone(config, backbones.swin(swin, image_size=224))
    return config


@pytest.mark.parametrize(
    ("theirs", "ours", "swin"),
    [
        ("dino/configs/dino-resnet/dino_r50_4scale_12ep", "diffu_dino/configs/models/dino_r50.py", None),
        (
            "dino/configs/dino-resnet/dino_r101_4scale_12ep",
            "diffu_dino/configs/dino-resnet/baseline-dino-r101-4scales-12ep.py",
            None,
        ),
        (
            "dino/configs/dino-swin/dino_swin_tiny_224_4scale_12ep",
            "diffu_dino/configs/models/dino_r50.py",
            "tiny",
        ),
        (
            "dino/configs/dino-swin/dino_swin_base_384_4scale_12ep",
            "diffu_dino/configs/models/dino_swin_base_384.py",
            None,
        ),
        (
            "deformable_detr/configs/deformable_detr_r50_two_stage_50ep",
            "diffu_detr/configs/models/deformable_detr_r50.py",
            None,
        ),
        ("align_detr/configs/aligndetr_k=2_r50_4scale_24ep", "diffu_align_detr/configs/models/aligndetr_r50.py", None),
    ],
)
def test_every_name_of_a_zoo_model_loads(theirs: str, ours: str, swin: str | None):
    if "swin" in theirs and not hasattr(detectron2_backbone, "SwinTransformer"):
        pytest.skip("detrex's Swin is detectron2's, and detectron2 0.6 has none")
    config = LazyConfig.load(str(CHECKOUT / "projects" / f"{theirs}.py")).model
    config.device = "cpu"
    state = instantiate(config).state_dict()
    with torch.device("meta"):
        model = instantiate(our_config(ours, swin))
    # Expanded zeros need no memory, and a model on the meta device has no values that they could overwrite.
    report = load_weights(model, {name: torch.zeros(()).expand(value.shape) for name, value in state.items()})
    assert not report.initialised and not report.renamed
    assert set(report.loaded) == set(model.state_dict())
    assert set(report.ignored.values()) <= {"second name of a head", "buffer that the model computes"}
