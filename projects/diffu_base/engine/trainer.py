"""The training step: mixed precision, accumulation, clipping, and a stop at the first non-finite loss."""

import functools
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from detectron2.engine import TrainerBase
from detectron2.utils import comm
from torch import Tensor, nn

from .forward import forward_losses, split_batch
from .loss_report import LossReport
from .progress import TrainingEnds
from .replay import save_replay
from .rng import rng_state, set_rng_state

logger = logging.getLogger(__name__)


class Trainer(TrainerBase):
    """detectron2's training loop around one optimizer step per iteration.

    A batch is cut into ``accumulation_steps`` equal parts that run one after the other. Each part's loss is divided by
    accumulation_steps, so the gradient is the mean over the parts, just as data parallel ranks average their gradients.
    An update uses the whole batch of the loader, whatever the number of parts or ranks. (A loss that is divided by the
    number of boxes is divided by the number in its part.)

    Args:
        model: maps a batch to a dict of scalar losses whose sum is minimised; every rank returns the same names.
        data_loader: endless iterable of batches, each a list with one entry per image.
        optimizer: over the model's parameters.
        amp_dtype: run the forward pass under autocast to this type; None for float32. float16 scales the loss and
            skips the steps whose gradients overflow.
        clip_grad: arguments of ``torch.nn.utils.clip_grad_norm_``; None does not clip.
        accumulation_steps: parts per batch.
        output_dir: where the batch of a non-finite loss is saved.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable[Sequence[Any]],
        optimizer: torch.optim.Optimizer,
        *,
        amp_dtype: torch.dtype | None = None,
        clip_grad: Mapping[str, Any] | None = None,
        accumulation_steps: int = 1,
        output_dir: str = "",
    ) -> None:
        super().__init__()
        model.train()
        self.model = model
        self.data_loader = data_loader
        self.optimizer = optimizer
        self.device_type = next(model.parameters()).device.type
        self.amp_dtype = amp_dtype
        self.grad_scaler = torch.amp.GradScaler(self.device_type, enabled=amp_dtype == torch.float16)
        self.clip_grad = clip_grad
        self.accumulation_steps = accumulation_steps
        self.output_dir = output_dir
        self.stop_requested = False  # this process wants the run to end, e.g. after a signal
        self.stopping = False  # all processes have agreed that the run ends after this iteration
        self.resume_rng: dict[str, Any] | None = None
        self._batches: Iterator[Sequence[Any]] = iter(())

    def train(self, start_iter: int, max_iter: int) -> None:
        """Train up to `max_iter` iterations, or until a hook raises `TrainingEnds`."""
        try:
            super().train(start_iter, max_iter)
        except TrainingEnds as end:
            logger.info("Training ends: %s", end)

    def before_train(self) -> None:
        """Start the hooks and the loader, then restore the random states of the checkpoint."""
        super().before_train()
        self._batches = iter(self.data_loader)
        if self.resume_rng is not None:
            set_rng_state(self.resume_rng)

    def run_step(self) -> None:
        """One optimizer step.

        Raises:
            FloatingPointError: a loss is not finite, on any rank; raised on every rank, before the step.
        """
        batch, data_time = self._next_batch()
        rng = rng_state()
        self.optimizer.zero_grad(set_to_none=True)
        parts = split_batch(batch, self.accumulation_steps)
        sums: dict[str, Tensor] = {}
        for i, part in enumerate(parts):
            is_last = i == len(parts) - 1
            with nullcontext() if is_last else self._no_sync():
                losses = forward_losses(self.model, part, self.amp_dtype)
                for name, loss in losses.items():
                    sums[name] = sums.get(name, 0) + loss.detach().float() / len(parts)
                if is_last:
                    # The losses are copied to the host while the backward pass runs.
                    report = LossReport(sums, data_time=data_time, stop=float(self.stop_requested))
                total = functools.reduce(torch.add, losses.values())
                self.grad_scaler.scale(total / len(parts)).backward()
        report.wait()
        if not report.is_finite:
            self._stop_at_non_finite(report, batch, rng)
        self._update()
        self.stopping = report.reduced["stop"] > 0
        self._write_metrics(report)

    def _next_batch(self) -> tuple[Sequence[Any], float]:
        start = time.perf_counter()
        if self.iter == self.start_iter:
            # A loader draws a number from torch's generator when it starts. A resumed run starts its loader at another
            # iteration than the first run did. The generator's state is therefore restored after the draw, so that the
            # model's random numbers stay the same.
            state = torch.get_rng_state()
            batch = next(self._batches)
            torch.set_rng_state(state)
        else:
            batch = next(self._batches)
        return batch, time.perf_counter() - start

    def _no_sync(self) -> AbstractContextManager[None]:
        return self.model.no_sync() if isinstance(self.model, nn.parallel.DistributedDataParallel) else nullcontext()

    def _update(self) -> None:
        if self.clip_grad is not None:
            self.grad_scaler.unscale_(self.optimizer)
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, **self.clip_grad)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _write_metrics(self, report: LossReport) -> None:
        if not comm.is_main_process():
            return
        self.storage.put_scalar("data_time", report.reduced["data_time"])
        self.storage.put_scalar("total_loss", sum(report.losses.values()))
        self.storage.put_scalars(**report.losses)

    def _stop_at_non_finite(self, report: LossReport, batch: Sequence[Any], rng: dict[str, Any]) -> None:
        message = f"loss is not finite at iteration {self.iter}: " + ", ".join(
            f"{name} = {value:.6g}" for name, value in report.losses.items()
        )
        bad_weights = [name for name, p in self.model.named_parameters() if not p.isfinite().all()]
        if bad_weights:
            message += f"; weights already not finite before this iteration: {', '.join(bad_weights[:10])}"
        if not report.is_finite_here and self.output_dir:
            path = save_replay(
                self.output_dir, model=self.model, batch=batch, rng=rng, iteration=self.iter, losses=report.local_losses
            )
            message += f"; the same command runs it again with --replay {path}"
        raise FloatingPointError(message)

    def state_dict(self) -> dict[str, Any]:
        """Iteration, optimizer and scaler. The checkpointer saves the model."""
        state = super().state_dict()
        state["optimizer"] = self.optimizer.state_dict()
        state["grad_scaler"] = self.grad_scaler.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from :meth:`state_dict`."""
        super().load_state_dict(state)
        self.optimizer.load_state_dict(state["optimizer"])
        # A fused optimizer reads weights and moments in the order in which they lie in memory. Both therefore need the
        # same memory format.
        for parameter, moments in self.optimizer.state.items():
            for name, moment in moments.items():
                if moment.shape == parameter.shape:
                    moments[name] = torch.empty_like(parameter).copy_(moment)
        if self.grad_scaler.is_enabled() and state["grad_scaler"]:
            self.grad_scaler.load_state_dict(state["grad_scaler"])
