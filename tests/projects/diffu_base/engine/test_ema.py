import pytest
import torch
from torch import nn

from projects.diffu_base.engine.ema import EMAState


def model(value: float) -> nn.Module:
    module = nn.Linear(2, 1, bias=False)
    nn.init.constant_(module.weight, value)
    module.register_buffer("mean", torch.full((1,), value))
    module.register_buffer("count", torch.tensor(int(value)))
    module.register_buffer("constant", torch.zeros(1), persistent=False)
    return module


def test_update_is_the_weighted_mean_by_hand_and_copies_counts():
    net = model(1.0)
    ema = EMAState(net, decay=0.75)
    net.load_state_dict(model(5.0).state_dict())
    ema.update(net)
    torch.testing.assert_close(ema.state["weight"], torch.full((1, 2), 2.0))  # 0.75 · 1 + 0.25 · 5
    torch.testing.assert_close(ema.state["mean"], torch.full((1,), 2.0))
    assert ema.state["count"] == 5
    assert "constant" not in ema.state


def test_applied_weights_are_put_back_also_after_an_error():
    net = model(1.0)
    ema = EMAState(net, decay=0.5)
    net.load_state_dict(model(3.0).state_dict())
    with pytest.raises(RuntimeError, match="evaluation"), ema.applied_to(net):
        assert net.weight[0, 0] == 1.0 and net.mean == 1.0
        raise RuntimeError("evaluation failed")
    assert net.weight[0, 0] == 3.0 and net.mean == 3.0
    assert ema.state["weight"][0, 0] == 1.0


def test_state_of_another_model_is_refused():
    ema = EMAState(model(1.0), decay=0.5)
    with pytest.raises(ValueError, match=r"missing \['count', 'mean'\].*other shapes \['weight'\]"):
        ema.load_state_dict({"weight": torch.zeros(3, 3)})


def test_state_survives_saving():
    ema, other = EMAState(model(1.0), decay=0.5), EMAState(model(4.0), decay=0.5)
    other.load_state_dict(ema.state_dict())
    for name, value in ema.state.items():
        torch.testing.assert_close(other.state[name], value)
