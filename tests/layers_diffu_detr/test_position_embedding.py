"""Sine position embeddings by hand, and that padding changes nothing."""

import math

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.position_embedding import PositionEmbeddingSine, get_sine_pos_embed


def test_maps_are_embedded_as_y_then_x_with_sines_and_cosines_interleaved():
    embedding = PositionEmbeddingSine(num_pos_feats=4, temperature=100, normalize=True, offset=-0.5, eps=0.0)
    result = embedding(torch.zeros(1, 2, 4, dtype=torch.bool))
    assert result.shape == (1, 8, 2, 4)
    # Row 1 of 2 and column 2 of 4 have their centres at 0.75 and 0.625; wavelengths are 1, 1, 10, 10.
    angles = [side * 2 * math.pi / wavelength for side in (0.75, 0.625) for wavelength in (1, 10)]
    expected = [f(angle) for angle in angles for f in (math.sin, math.cos)]
    assert_close(result[0, :, 1, 2], torch.tensor(expected), rtol=0, atol=1e-6)


def test_without_normalization_positions_are_pixel_numbers_from_one():
    result = PositionEmbeddingSine(num_pos_feats=2)(torch.zeros(1, 1, 3, dtype=torch.bool))
    assert_close(result[0, 2, 0], torch.tensor([1.0, 2.0, 3.0]).sin())
    assert_close(result[0, 3, 0], torch.tensor([1.0, 2.0, 3.0]).cos())


@pytest.mark.parametrize("normalize", [True, False])
def test_padding_does_not_change_the_embedding_of_what_it_surrounds(normalize):
    embedding = PositionEmbeddingSine(num_pos_feats=8, normalize=normalize, offset=-0.5)
    mask = torch.ones(2, 6, 9, dtype=torch.bool)
    mask[0, :4, :5], mask[1] = False, False
    padded, alone = embedding(mask), embedding(torch.zeros(1, 4, 5, dtype=torch.bool))
    assert_close(padded[:1, :, :4, :5], alone)
    assert padded.isfinite().all()


def test_boxes_are_embedded_in_the_order_y_x_w_h():
    box = torch.tensor([0.1, 0.2, 0.3, 0.4]).view(1, 1, 4)
    result = get_sine_pos_embed(box, num_pos_feats=2)  # both features have wavelength 1
    expected = [f(2 * math.pi * side) for side in (0.2, 0.1, 0.3, 0.4) for f in (math.sin, math.cos)]
    assert_close(result.flatten(), torch.tensor(expected))
    assert_close(get_sine_pos_embed(box[..., :2], num_pos_feats=2), result[..., :4])
