"""Timestep embedding against diffusers and by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from diffusers.models.embeddings import get_timestep_embedding
from torch.testing import assert_close

from layers_diffu_detr.ldm.timestep import (
    SineTimestepEmbedding,
    TimestepEmbedding,
    TransformerSinusoid,
    timestep_sinusoid,
)


@pytest.mark.parametrize("dim", [8, 256])
def test_sinusoid_equals_diffusers(dim):
    t = torch.tensor([0, 1, 33, 99, 999])
    theirs = get_timestep_embedding(t, dim, flip_sin_to_cos=True, downscale_freq_shift=0)
    assert_close(timestep_sinusoid(t, dim), theirs, rtol=1e-5, atol=1e-4)


def test_sinusoid_by_hand():
    # half = 2, so the frequencies are 1 and 10000^(-1/2) = 0.01; cosines come first.
    expected = [math.cos(3), math.cos(0.03), math.sin(3), math.sin(0.03)]
    assert_close(timestep_sinusoid(torch.tensor([3]), 4), torch.tensor([expected]))


def test_embedding_is_a_two_layer_mlp_of_the_sinusoid():
    embedding = TimestepEmbedding(embed_dim=8)
    parameters = dict(embedding.named_parameters())
    assert {name: tuple(p.shape) for name, p in parameters.items()} == {
        "0.weight": (32, 8), "0.bias": (32,), "2.weight": (32, 32), "2.bias": (32,)
    }  # fmt: skip
    t = torch.tensor([7, 99])
    hidden = F.silu(F.linear(timestep_sinusoid(t, 8), parameters["0.weight"], parameters["0.bias"]))
    assert_close(embedding(t), F.linear(hidden, parameters["2.weight"], parameters["2.bias"]))


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="embed_dim is 7"):
        TimestepEmbedding(embed_dim=7)


@pytest.mark.parametrize("dim", [8, 256])
def test_the_transformer_s_sinusoid_equals_diffusers(dim):
    t = torch.tensor([0, 1, 33, 999])
    assert_close(TransformerSinusoid(dim)(t), get_timestep_embedding(t, dim, downscale_freq_shift=1), atol=2e-4, rtol=0)


def test_diffusion_det_s_embedding_by_hand():
    embedding = SineTimestepEmbedding(embed_dim=4)
    weights = dict(embedding.named_parameters())
    assert {name: tuple(p.shape) for name, p in weights.items()} == {
        "1.weight": (16, 4), "1.bias": (16,), "3.weight": (16, 16), "3.bias": (16,)
    }  # fmt: skip
    # half = 2, so the frequencies are 1 and 10000^-1; sines come first.
    sinusoid = torch.tensor([[math.sin(3), math.sin(3e-4), math.cos(3), math.cos(3e-4)]])
    hidden = F.gelu(F.linear(sinusoid, weights["1.weight"], weights["1.bias"]))
    assert_close(embedding(torch.tensor([3])), F.linear(hidden, weights["3.weight"], weights["3.bias"]))


@pytest.mark.parametrize("dim", [2, 7])
def test_a_width_too_small_or_odd_for_the_transformer_s_sinusoid_is_refused(dim):
    with pytest.raises(ValueError, match=f"embed_dim is {dim}"):
        SineTimestepEmbedding(dim)
