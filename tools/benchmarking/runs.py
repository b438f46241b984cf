"""What a process of tools/benchmark.py measures on random images: inference, or a training step."""

import resource
import sys
from typing import Any

import torch
from torch import nn

from projects.diffu_base.config.checks import load_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.engine.build import build_optimizer, new_model
from projects.diffu_base.engine.ema import EMAState
from projects.diffu_base.engine.evaluation import load_for_eval
from projects.diffu_base.engine.forward import forward_losses
from projects.diffu_base.engine.rng import seed_everything
from tools.benchmarking.parts import Parts, product_rate, tensor_memory, with_rest
from tools.measuring.flops import PRODUCTS, TOTAL, FlopCounter
from tools.measuring.measure import as_detector, describe_environment, fill_zero_matrices, random_images, with_targets

OBJECTS = 10  # on each image of a training step
# Losses by name; or per image its detections, each a box (absolute xyxy), a score and a class.
Outputs = dict[str, float] | list[list[list[float]]]


class Run:
    """A model and images of `sizes` (height, width), ready to be measured; subclasses have a method `turn`.

    Weights are those of `train.init_checkpoint` where an override names it, else random: a backbone that the config
    file names is not worth a download.

    Args:
        config_file, overrides, num_gpus: see `load_config`.
    """

    dtype: torch.dtype | None  # of autocast; None for float32

    def __init__(self, config_file: str, overrides: list[str], num_gpus: int, sizes: list[tuple[int, int]]) -> None:
        self.resident_bytes = peak_resident_bytes()  # before the model exists
        self.cfg = load_config(config_file, overrides, num_gpus=num_gpus)
        self.cfg.train.seed = max(self.cfg.train.seed, 0)  # a negative seed would be replaced by a random one
        self.options = TrainOptions.of(self.cfg)
        self.device = torch.device(self.options.device)
        torch.backends.cudnn.benchmark = self.options.cudnn_benchmark
        if self.options.tf32 is not None:
            torch.set_float32_matmul_precision("high" if self.options.tf32 else "highest")
            torch.backends.cudnn.allow_tf32 = self.options.tf32
        seed_everything(self.options.seed)
        self.model = as_detector(new_model(self.cfg.model, self.options))
        if any(word.startswith("train.init_checkpoint=") for word in overrides):
            load_for_eval(self.model, self.options.init_checkpoint, averaged=self.options.evaluates_averages)
        else:
            fill_zero_matrices(self.model, self.options.seed)
        self.parts = Parts(self.model, self.device)
        self.inputs = random_images(sizes, self.options.seed)

    def turn(self) -> Outputs:
        raise NotImplementedError


class InferenceRun(Run):
    """Detection with this number of decoder `evaluations`."""

    def __init__(self, *args: Any, evaluations: int) -> None:
        super().__init__(*args)
        self.model.eval()
        self.model.sampler.num_steps = evaluations
        self.dtype = self.options.eval_dtype

    @torch.no_grad()
    def turn(self) -> Outputs:
        with torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype is not None):
            found = [result["instances"] for result in self.model(self.inputs)]
        columns = ((x.pred_boxes.tensor, x.scores[:, None], x.pred_classes[:, None]) for x in found)
        return [torch.cat(each, dim=1).tolist() for each in columns]


class TrainingRun(Run):
    """An optimizer step on one batch."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.model.train()
        self.inputs = with_targets(self.inputs, OBJECTS, self.model.num_classes, self.options.seed)
        self.dtype = self.options.amp_dtype
        self.optimizer = build_optimizer(self.cfg.optimizer, self.model)
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.dtype == torch.float16)
        averages = self.options.model_ema
        self.ema = EMAState(self.model, averages.decay) if averages.enabled else None

    def turn(self) -> Outputs:
        self.optimizer.zero_grad(set_to_none=True)
        with self.parts.span("forward"):
            losses = forward_losses(self.model, self.inputs, self.dtype)
        with self.parts.span("backward"):
            self.scaler.scale(torch.stack(list(losses.values())).sum()).backward()
        with self.parts.span("update of weights"):
            if self.options.clip_arguments is not None:
                self.scaler.unscale_(self.optimizer)
                nn.utils.clip_grad_norm_(self.model.parameters(), **self.options.clip_arguments)
            self.scaler.step(self.optimizer)
            self.scaler.update()
            if self.ema is not None:
                self.ema.update(self.model)
        return {name: float(loss.detach()) for name, loss in losses.items()}


_runs: list[Run] = []  # this process's one


def start(kind: type[Run], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Make the run of this process. Returns what its numbers depend on, see `describe_environment`."""
    _runs.append(kind(*args, **kwargs))
    return describe_environment(str(_runs[0].device))


def take_turn() -> tuple[dict[str, float], Outputs]:
    """Seconds by part, "total" and "rest" among them, and what was computed, from the same random numbers each time."""
    (run,) = _runs
    seed_everything(run.options.seed)
    run.parts.seconds = {}
    start = run.parts.now()
    outputs = run.turn()
    return with_rest({"total": run.parts.now() - start, **run.parts.seconds}), outputs


def finish() -> dict[str, Any]:
    """What is measured once, after the turns.

    Returns:
        `peak`: bytes of memory, on CUDA those of all tensors, on the CPU what the process's resident memory grew by;
        `tensors`: bytes that the tensors which a turn makes hold at once;
        `products`: multiply-adds by part; `rate`: how many of them the machine does in a second.
    """
    (run,) = _runs
    on_gpu = run.device.type == "cuda"
    peak = torch.cuda.max_memory_allocated(run.device) if on_gpu else peak_resident_bytes() - run.resident_bytes
    with FlopCounter(PRODUCTS, run.parts) as counter:
        take_turn()
    products = counter.multiply_adds()
    products = with_rest({"total": products.pop(TOTAL), **products})
    rate = product_rate(run.device, run.dtype or torch.float32)
    return {"peak": peak, "tensors": tensor_memory(take_turn, run.device), "products": products, "rate": rate}


def peak_resident_bytes() -> int:
    """The process's highest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
