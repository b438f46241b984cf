"""Exponential moving average of a model's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from detectron2.engine import HookBase
from torch import Tensor, nn


def unwrap(model: nn.Module) -> nn.Module:
    """The module inside DistributedDataParallel, or the module itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def named_weights(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name; a shared tensor appears once, under its first name."""
    model = unwrap(model)
    persistent = model.state_dict(keep_vars=True)
    weights: dict[str, Tensor] = dict(model.named_parameters())
    weights.update((name, buffer) for name, buffer in model.named_buffers() if name in persistent)
    return weights


class EMAState:
    """The averaged weights, name -> tensor. Checkpoints hold them as ``ema_state``, as detrex's do.

    Args:
        model: its current weights are the start of the average.
        decay: d in ``average <- d * average + (1 - d) * weight``; in [0, 1].
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state = {name: weight.detach().clone() for name, weight in named_weights(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take one step of the average; integer buffers are copied."""
        averages, weights = [], []
        for name, weight in named_weights(model).items():
            if weight.is_floating_point():
                averages.append(self.state[name])
                weights.append(weight.detach())
            else:
                self.state[name].copy_(weight)
        torch._foreach_lerp_(averages, weights, 1 - self.decay)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """A context in which the model has the averaged weights. It always ends with the model's own weights."""
        self._swap(model)
        try:
            yield
        finally:
            self._swap(model)

    @torch.no_grad()
    def _swap(self, model: nn.Module) -> None:
        for name, weight in named_weights(model).items():
            average = self.state[name]
            own = weight.detach().clone()
            weight.copy_(average)
            average.copy_(own)

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights themselves, not copies."""
        return self.state

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue a saved average.

        Raises:
            ValueError: names or shapes differ from this model's.
        """
        missing = sorted(self.state.keys() - state.keys())
        wrong = [n for n in self.state.keys() & state.keys() if self.state[n].shape != state[n].shape]
        if missing or wrong:
            raise ValueError(f"ema_state does not fit the model: missing {missing}, other shapes {sorted(wrong)}")
        for name, average in self.state.items():
            average.copy_(state[name])


class EMAHook(HookBase):
    """Updates the average after every optimizer step."""

    def __init__(self, ema: EMAState, model: nn.Module) -> None:
        self.ema = ema
        self.model = model

    def after_step(self) -> None:
        self.ema.update(self.model)
