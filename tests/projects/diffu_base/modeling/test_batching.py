"""Images of different sizes: groups, valid parts of maps, padding, by hand."""

import torch
from torch.testing import assert_close

from projects.diffu_base.modeling.batching import groups_by_size, pad_and_cat, stack_padded, valid_sizes_of


def test_images_of_one_size_form_a_group_in_their_order():
    sizes = [(4, 6), (6, 4), (4, 6), (5, 5)]
    assert groups_by_size([torch.zeros(3, *size) for size in sizes]) == [[0, 2], [1], [3]]
    assert groups_by_size([]) == []


def test_an_image_s_part_of_a_level_is_rounded_up():
    levels = [torch.zeros(1, 8, 12, 16), torch.zeros(1, 8, 3, 4)]  # of a batch padded to 96 × 128
    assert valid_sizes_of((96, 128), (96, 128), levels) == [[12, 16], [3, 4]]
    assert valid_sizes_of((48, 64), (96, 128), levels) == [[6, 8], [2, 2]]
    assert valid_sizes_of((50, 1), (96, 128), levels) == [[7, 1], [2, 1]]


def test_images_are_stacked_with_zeros_at_the_bottom_and_on_the_right_up_to_a_multiple():
    wide, high = torch.ones(3, 1, 4), torch.ones(3, 2, 2)
    assert_close(stack_padded([wide])[0], wide)
    assert_close(stack_padded([wide, high])[:, 0], torch.tensor([[[1.0, 1, 1, 1], [0] * 4], [[1, 1, 0, 0]] * 2]))
    padded = stack_padded([wide, high], divisor=3)
    assert padded.shape == (2, 3, 3, 6) and padded.sum() == wide.sum() + high.sum()


def test_maps_are_joined_with_zeros_at_the_bottom_and_on_the_right():
    wide, high = torch.ones(2, 3, 1, 4), torch.ones(1, 3, 2, 2)
    joined = pad_and_cat([wide, high])
    assert joined.shape == (3, 3, 2, 4)
    assert_close(joined[0, 0], torch.tensor([[1.0, 1, 1, 1], [0, 0, 0, 0]]))
    assert_close(joined[2, 0], torch.tensor([[1.0, 1, 0, 0], [1, 1, 0, 0]]))
