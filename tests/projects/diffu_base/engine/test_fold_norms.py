"""A folded frozen norm computes what it computed, and so do its gradients."""

import copy

import pytest
import torch
from detectron2.layers import Conv2d, FrozenBatchNorm2d
from detectron2.modeling.backbone.resnet import BasicBlock, BasicStem, ResNet
from torch import nn
from torch.testing import assert_close

from projects.diffu_base.engine.acceleration import fold_frozen_norms


def frozen_norm(channels: int) -> FrozenBatchNorm2d:
    norm, generator = FrozenBatchNorm2d(channels), torch.Generator().manual_seed(1)
    for name, buffer in norm.named_buffers():
        buffer.copy_(torch.rand(channels, generator=generator) + (0.5 if name == "running_var" else -0.5))
    return norm


def convolution(bias: bool, activation: nn.Module | None) -> Conv2d:
    torch.manual_seed(0)
    return Conv2d(
        4, 6, 3, stride=2, padding=1, groups=2, bias=bias, norm=frozen_norm(6), activation=activation
    ).double()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("activation", [None, nn.ReLU()])
def test_outputs_and_gradients_stay(bias, activation):
    results = []
    for fold in (False, True):
        conv = convolution(bias, activation)
        if fold:
            fold_frozen_norms(conv)
        x = torch.randn(2, 4, 9, 7, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
        output = conv(x)
        results.append((output, *torch.autograd.grad(output.square().sum(), (x, *conv.parameters()))))
    assert_close(results[1], results[0])


def test_norms_do_not_run_and_names_of_weights_stay():
    stage = ResNet.make_stage(BasicBlock, num_blocks=2, in_channels=8, out_channels=8, norm="FrozenBN")
    resnet = ResNet(BasicStem(out_channels=8, norm="FrozenBN"), [stage])
    names = list(resnet.state_dict())
    fold_frozen_norms(resnet)
    norms = [module for module in resnet.modules() if isinstance(module, FrozenBatchNorm2d)]
    for norm in norms:
        norm.register_forward_hook(lambda *_: pytest.fail("a frozen norm ran"))
    resnet(torch.zeros(1, 3, 32, 32))
    assert len(norms) == 5 and list(resnet.state_dict()) == names


def test_a_folded_convolution_follows_its_weights_and_copies_are_independent():
    conv = convolution(bias=False, activation=None)
    fold_frozen_norms(conv)
    twin = copy.deepcopy(conv)
    x = torch.ones(1, 4, 5, 5, dtype=torch.float64)
    before = conv(x)
    with torch.no_grad():
        conv.weight.zero_()
        conv.norm.bias.fill_(3.0)
        conv.norm.running_mean.zero_()
    assert_close(conv(x), torch.full_like(before, 3.0))
    assert_close(twin(x), before)
