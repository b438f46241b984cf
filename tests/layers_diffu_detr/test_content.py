"""Content sampled at boxes, and content that depends on the pass before."""

import pytest
import torch
from torch.testing import assert_close

from layers_diffu_detr.content import SampledContent, StateAddedToContent, StateAsContent

WHOLE = torch.ones(1, 2, 2)


def maps(height=4, width=6, batch=1):
    """Two levels; channels hold the cell's x, its y and the number of the level."""
    levels = []
    for level in range(2):
        h, w = height >> level, width >> level
        x, y = torch.arange(w) + 0.5, torch.arange(h) + 0.5
        channels = [(x / w).expand(h, w), (y / h)[:, None].expand(h, w), torch.full((h, w), float(level))]
        levels.append(torch.stack(channels).expand(batch, -1, -1, -1))
    return levels


def test_memory_is_read_at_the_centre_of_the_box():
    boxes = torch.tensor([[[0.5, 0.5, 0.1, 0.1], [0.4, 0.7, 0.2, 0.05]]])
    content = SampledContent()(maps(), WHOLE, boxes)
    assert_close(content[..., :2], boxes[..., :2])  # linear between the cells, whatever the levels' weights


@pytest.mark.parametrize(("side", "level"), [(0.05, 0.0), (0.05 * 2**0.5, 0.5), (0.1, 1.0)])
def test_a_box_is_read_from_the_level_of_its_size(side: float, level: float):
    content = SampledContent(finest_side=0.05)(maps(), WHOLE, torch.tensor([[[0.5, 0.5, side, side]]]))
    other = torch.tensor(1.0).neg().exp() / (1 + torch.tensor(1.0).neg().exp())  # weights 1 and e^-1 a level apart
    assert_close(content[0, 0, 2].item(), {0.0: other.item(), 0.5: 0.5, 1.0: 1 - other.item()}[level])


def test_padding_does_not_change_what_is_read():
    """A box is relative to the valid part of its image, and beside the map of an image alone there is 0 too."""
    alone, boxes = maps(), torch.rand(1, 30, 4, generator=torch.Generator().manual_seed(0))
    padded = [torch.nn.functional.pad(level, (0, level.shape[3], 0, level.shape[2])) for level in alone]
    content = SampledContent()
    assert_close(content(padded, WHOLE / 2, boxes), content(alone, WHOLE, boxes))


def test_a_box_without_area_is_read_too():
    assert SampledContent()(maps(), WHOLE, torch.zeros(1, 1, 4)).isfinite().all()


def test_the_state_takes_the_place_of_the_content_unless_a_query_has_no_past():
    content, state = torch.rand(1, 2, 3), torch.rand(1, 2, 3)
    state[0, 1] = 0
    mixed = StateAsContent()(content, state)
    assert torch.equal(mixed[0, 0], state[0, 0]) and torch.equal(mixed[0, 1], content[0, 1])


def test_an_added_state_changes_nothing_before_training_and_never_a_query_without_a_past():
    module, content, state = StateAddedToContent(3), torch.rand(1, 2, 3), torch.rand(1, 2, 3)
    assert torch.equal(module(content, state), content)
    torch.nn.init.eye_(module.projection.weight)
    state[0, 1] = 0
    assert_close(module(content, state), content + state)
    assert torch.equal(module(content, state)[0, 1], content[0, 1])
