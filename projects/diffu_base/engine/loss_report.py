"""The losses of an iteration, averaged over ranks and copied to the host once."""

import math

import torch
import torch.distributed as dist
from detectron2.utils import comm
from torch import Tensor


class LossReport:
    """Averages losses over ranks and copies them to the host: the constructor starts both, :meth:`wait` ends them.

    If a loss is not finite on one rank, its average is not finite either. All ranks therefore notice it without another
    message.

    Args:
        losses: name -> scalar tensor; the same names on every rank, in any order.
        extras: numbers of this rank that are averaged together with the losses.

    Attributes (after :meth:`wait`):
        local_losses: name -> value on this rank.
        losses: name -> mean over ranks.
        reduced: ``losses`` and the mean ``extras``.
    """

    def __init__(self, losses: dict[str, Tensor], **extras: float) -> None:
        self._names = sorted(losses)
        self._extras = list(extras)
        local = torch.stack([losses[name].detach().float() for name in self._names])
        reduced = torch.cat([local, local.new_tensor(list(extras.values()))])
        if comm.get_world_size() > 1:
            dist.all_reduce(reduced)
            reduced /= comm.get_world_size()
        both = torch.cat([local, reduced])
        self._host, self._event = both, None
        if both.is_cuda:
            self._host = torch.empty(both.shape, dtype=both.dtype, pin_memory=True)
            self._host.copy_(both, non_blocking=True)
            self._event = torch.cuda.Event()
            self._event.record()

    def wait(self) -> None:
        """Wait until the values are on the host. On CUDA the backward pass goes on meanwhile."""
        if self._event is not None:
            self._event.synchronize()
        values = self._host.tolist()
        count = len(self._names)
        self.local_losses = dict(zip(self._names, values[:count], strict=True))
        self.reduced = dict(zip(self._names + self._extras, values[count:], strict=True))
        self.losses = {name: self.reduced[name] for name in self._names}

    @property
    def is_finite(self) -> bool:
        """Whether every loss of every rank is finite."""
        return all(math.isfinite(value) for value in self.losses.values())

    @property
    def is_finite_here(self) -> bool:
        """Whether every loss of this rank is finite."""
        return all(math.isfinite(value) for value in self.local_losses.values())
