"""One setting in a process of its own, so that its peak memory and the variables read at import are its own."""

import multiprocessing
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import torch
from omegaconf import DictConfig

from tools.benchmarking.inference import InferenceJob, InferenceRun
from tools.benchmarking.machine import PeakMemory, TensorMemory, matrix_product_rate
from tools.benchmarking.parts import ProductClock, synchronize
from tools.benchmarking.setting import Setting
from tools.benchmarking.training import TrainingJob, TrainingRun
from tools.measuring.measure import describe_environment

Job = InferenceJob | TrainingJob
Run = InferenceRun | TrainingRun
# Threads that spin while they wait would take the cores from the other worker, whose turn it is.
_DEFAULT_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE"}


class Worker:
    """The parent's end. A context: the process ends with it.

    Args:
        setting, job: what it measures.

    Raises:
        ValueError: the setting or the job cannot be, as found out by the process.
    """

    def __init__(self, setting: Setting, job: Job):
        self.setting, self.job = setting, job
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, setting, job), daemon=False)
        with _environment({**_DEFAULT_ENVIRONMENT, **os.environ, **setting.environment}):
            self._process.start()
        theirs.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *error: object) -> None:
        self._connection.close()  # the process ends when it reads that
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def ready(self) -> dict[str, Any]:
        """Wait until the process can take turns; see `describe_environment`."""
        return self._receive()

    def turn(self) -> dict[str, Any]:
        """Run once: `total` seconds, and seconds by part in `parts`."""
        return self._ask("turn")

    def finish(self, **options: Any) -> dict[str, Any]:
        """What is read once, after the turns; see `_finish`."""
        return self._ask("finish", **options)

    def _ask(self, command: str, **options: Any) -> dict[str, Any]:
        self._connection.send((command, options))
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        try:
            kind, content = self._connection.recv()
        except EOFError:
            self._process.join()
            code = self._process.exitcode
            reason = " (killed, perhaps for want of memory)" if code == -9 else ""
            raise RuntimeError(f"the worker of {self.job} ended with exit code {code}{reason}") from None
        if kind == "mistake":
            raise ValueError(content)
        if kind == "error":
            raise RuntimeError(f"the worker of {self.job} failed:\n{content}")
        return content


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Inside, `os.environ` is `variables`: what a process started there inherits."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def serve(connection: Connection, setting: Setting, job: Job) -> None:
    """The process: start, say so, then answer until the parent hangs up."""
    run = None
    try:
        cfg = setting.load()
        device = torch.device(cfg.train.device)
        set_backends(cfg)
        memory = PeakMemory(device)
        run = job.start(cfg, checkpoint=setting.checkpoint, cache=setting.cache)
        answer = describe_environment(cfg.train.device)
        while True:
            connection.send(("answer", answer))
            command, options = connection.recv()
            answer = _turn(run, device) if command == "turn" else _finish(run, memory, device, **options)
    except EOFError:
        pass
    except Exception as error:
        is_mistake = run is None and isinstance(error, ValueError)  # of the user, found out while starting
        connection.send(("mistake", str(error)) if is_mistake else ("error", traceback.format_exc()))


def set_backends(cfg: DictConfig) -> None:
    """Allow or forbid TF32, and let cuDNN try its kernels, as tools/train_net.py does."""
    torch.backends.cudnn.benchmark = cfg.train.cudnn_benchmark
    if cfg.train.tf32 is not None:
        torch.set_float32_matmul_precision("high" if cfg.train.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = cfg.train.tf32


def _turn(run: Run, device: torch.device) -> dict[str, Any]:
    synchronize(device)
    start = time.perf_counter()
    run.turn()
    synchronize(device)
    total = time.perf_counter() - start
    return {"total": total, "parts": run.parts.take()}


def _finish(run: Run, memory: PeakMemory, device: torch.device, *, with_machine: bool, repeats: int) -> dict[str, Any]:
    """Peak memory, the first turn's outputs, notes, and the multiply-adds by part.

    Args:
        with_machine: measure also what all settings share: the machine's rate of products, and loading of data.
    """
    result: dict[str, Any] = {"memory": memory.read(), "outputs": run.outputs, "notes": run.notes}
    clock = run.parts.clock
    with ProductClock() as products, TensorMemory() as tensors:
        run.parts.clock = products
        run.turn()
        result["products"] = {"total": products.mark(), "parts": run.parts.take()}
    run.parts.clock = clock
    result["memory"]["tensors"] = tensors.peak
    if with_machine:
        result["rate"] = matrix_product_rate(device, run.dtype)
        result["data"] = run.data_seconds(repeats) if isinstance(run, TrainingRun) else None
    return result
