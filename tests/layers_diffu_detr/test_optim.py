import pytest
import torch
from torch import nn

from layers_diffu_detr.optim import param_groups


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GroupNorm(2, 4))
        self.head = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)
        self.shared = self.head
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def test_groups_by_backbone_and_normalization():
    net = Net()
    groups = param_groups(net, 1e-2, backbone_lr_factor=0.1)
    by_parameter = {p: (g["lr"], g.get("weight_decay")) for g in groups for p in g["params"]}
    assert by_parameter == {
        **dict.fromkeys(net.backbone[0].parameters(), (1e-3, None)),
        **dict.fromkeys(net.backbone[1].parameters(), (1e-3, 0.0)),
        **dict.fromkeys(net.head.parameters(), (1e-2, None)),
        **dict.fromkeys(net.norm.parameters(), (1e-2, 0.0)),
    }


def test_normalization_may_keep_the_optimizers_decay():
    groups = param_groups(Net(), 1e-2, weight_decay_norm=None)
    assert len(groups) == 2 and all("weight_decay" not in group for group in groups)


def test_torch_optimizers_take_the_groups():
    optimizer = torch.optim.AdamW(param_groups(Net(), 1e-2), lr=1e-2, weight_decay=1e-4)
    assert sorted((g["lr"], g["weight_decay"]) for g in optimizer.param_groups) == [
        (1e-3, 0.0),
        (1e-3, 1e-4),
        (1e-2, 0.0),
        (1e-2, 1e-4),
    ]


def test_nothing_to_train_and_negative_factors_are_errors():
    with pytest.raises(ValueError, match="no trainable parameter"):
        param_groups(nn.Linear(1, 1).requires_grad_(False), 1e-2)
    with pytest.raises(ValueError, match="backbone_lr_factor must be 0 or more, got -1"):
        param_groups(Net(), 1e-2, backbone_lr_factor=-1)
