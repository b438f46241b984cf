"""Channel mapper: levels, names, wrong settings."""

import pytest
import torch
from detectron2.layers import ShapeSpec
from torch import nn
from torch.testing import assert_close

from projects.diffu_base.modeling.backbones.neck import ChannelMapper

SHAPES = {"res3": ShapeSpec(channels=6), "res4": ShapeSpec(channels=10)}
FEATURES = {"res3": torch.randn(2, 6, 9, 12), "res4": torch.randn(2, 10, 5, 6)}


def mapper(**overrides):
    norm = nn.GroupNorm(2, 8)
    settings = {"input_shapes": SHAPES, "in_features": ["res3", "res4"], "out_channels": 8, "num_outs": 4}
    return ChannelMapper(**{**settings, "norm_layer": norm, **overrides})


def test_each_map_is_a_level_and_each_further_level_halves_the_one_before():
    neck = mapper()
    levels = neck(FEATURES)
    assert [tuple(level.shape) for level in levels] == [(2, 8, 9, 12), (2, 8, 5, 6), (2, 8, 3, 3), (2, 8, 2, 2)]
    # The first further level comes from the backbone's map, the next one from that level.
    assert_close(levels[2], neck.extra_convs[0](FEATURES["res4"]))
    assert_close(levels[3], neck.extra_convs[1](levels[2]))


def test_every_convolution_has_a_norm_of_its_own_under_detrex_s_names():
    neck = mapper()
    parts = [f"{part}.{kind}" for part in ("conv", "norm") for kind in ("weight", "bias")]
    modules = ("convs.0", "convs.1", "extra_convs.0", "extra_convs.1")
    assert list(neck.state_dict()) == [f"{module}.{part}" for module in modules for part in parts]
    assert len({id(conv.norm) for conv in (*neck.convs, *neck.extra_convs)}) == 4


def test_only_the_named_features_are_used():
    neck = mapper(in_features=["res4"], num_outs=1)
    (level,) = neck({"res4": FEATURES["res4"]})
    assert level.shape == (2, 8, 5, 6) and len(neck.extra_convs) == 0


def test_wrong_settings_are_refused_by_name():
    with pytest.raises(ValueError, match=r"neck.in_features has \['res5'\]; input_shapes has \['res3', 'res4'\]"):
        mapper(in_features=["res4", "res5"])
    with pytest.raises(ValueError, match="neck.num_outs is 1; 2 in_features"):
        mapper(num_outs=1)
