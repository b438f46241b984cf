import random

import numpy as np
import pytest
import torch

from projects.diffu_base.engine.rng import preserved_rng, resolve_seed, rng_state, seed_everything, set_rng_state


def draw() -> list[float]:
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(1).item()]


def test_state_survives_a_checkpoint(tmp_path):
    draw()  # an odd number of Gaussians leaves one cached in the generators
    torch.save(rng_state(), tmp_path / "rng.pth")
    expected = draw()
    set_rng_state(torch.load(tmp_path / "rng.pth", weights_only=True))
    assert draw() == expected


def test_draws_inside_do_not_show_outside():
    seed_everything(3)
    expected = draw()
    seed_everything(3)
    with pytest.raises(RuntimeError), preserved_rng():
        draw()
        raise RuntimeError
    assert draw() == expected


def test_negative_seed_is_drawn_anew_whatever_was_seeded():
    seed_everything(0)
    first = resolve_seed(-1)
    seed_everything(0)
    assert first != resolve_seed(-1) and first >= 0
    assert resolve_seed(5) == 5
