"""What every process of a job does in test_distributed.py: `torchrun distributed_run.py OUT`."""

import argparse
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[4]))

import torch
from detectron2.structures import Boxes, Instances
from detectron2.utils import comm
from torch import Tensor, nn

from layers_diffu_detr.denoising import DiffusedQueries
from layers_diffu_detr.ldm.passes import QueryBoxes
from layers_diffu_detr.training_batch import TrainingBatch
from projects.diffu_base.config.options.train import DdpOptions
from projects.diffu_base.engine.build import wrap_ddp
from projects.diffu_base.engine.distributed import run
from projects.diffu_base.engine.evaluation import share_buffers
from projects.diffu_base.engine.trainer import Trainer
from tests.projects.diffu_base.engine.runs import arguments
from tests.projects.diffu_base.engine.tiny import TinyDetector
from tests.support.tiny_models import tiny_model
from tools.train_net import main as train_net


class SeededPerImage:
    """Diffuses each image's ground truth with a generator seeded by it, whatever company it has."""

    def __init__(self, diffuse: DiffusedQueries) -> None:
        self.diffuse = diffuse

    def __call__(self, batch: TrainingBatch) -> tuple[QueryBoxes, Tensor]:
        boxes, times = [], []
        for target in batch.targets:
            torch.manual_seed(int(target["boxes"].sum() * 1e6))
            queries, t = self.diffuse(replace(batch, targets=[target]))
            boxes.append(queries.boxes)
            times.append(t)
        return QueryBoxes(torch.cat(boxes)), torch.cat(times)


def small_dino() -> nn.Module:
    """DiffuDINO whose draws do not depend on the batch."""
    model = tiny_model("diffu_dino_r50", label_noise_ratio=0.0, box_noise_scale=0.0, dn_number=6)
    model.diffused_queries = SeededPerImage(model.diffused_queries)
    return model


def dino_batch() -> list[dict]:
    """Four images of one size. Their numbers of objects differ between the halves, as the normalisation must notice;
    the largest number is the same in both, as it decides the denoising queries."""
    torch.manual_seed(5)
    batch = []
    for image_id, count in enumerate([3, 3, 1, 0]):
        corners = torch.rand(count, 2) * 40
        boxes = Boxes(torch.cat([corners, corners + 10 + torch.rand(count, 2) * 14], dim=1))
        instances = Instances((64, 64), gt_boxes=boxes, gt_classes=torch.randint(7, (count,)))
        batch.append({"image": torch.rand(3, 64, 64) * 255, "image_id": image_id, "instances": instances})
    return batch


def tiny_batch() -> list[dict]:
    """Four images of the tiny model."""
    torch.manual_seed(5)
    return [
        {"image": torch.rand(3, 8, 8), "instances": Instances((8, 8), gt_boxes=Boxes(torch.rand(1, 4)))}
        for _ in range(4)
    ]


def save_gradients(model: nn.Module, batch: list[dict], path: Path) -> None:
    """One step of the trainer on this rank's share; rank 0 saves losses and gradients."""
    wrapped = wrap_ddp(model, DdpOptions())
    loader = [batch[comm.get_rank() :: comm.get_world_size()]]
    trainer = Trainer(wrapped, loader, torch.optim.SGD(model.parameters(), lr=0.0))
    trainer.train(0, 1)
    if comm.is_main_process():
        losses = {name: value for name, (value, _) in trainer.storage.latest().items() if "loss" in name}
        torch.save({"losses": losses, "grads": {name: p.grad for name, p in model.named_parameters()}}, path)


def save_all_gradients(folder: Path) -> None:
    """Gradients of the tiny model and of a small DiffuDINO."""
    torch.manual_seed(comm.get_rank())  # other initial weights on every rank: those of rank 0 count
    save_gradients(TinyDetector(noise=0.0), tiny_batch(), folder / "tiny.pth")
    save_gradients(small_dino(), dino_batch(), folder / "dino.pth")


def save_shared_buffers(folder: Path) -> None:
    """Batch norm statistics of every rank after sharing, ranks having had their own."""
    norm = nn.BatchNorm2d(2)
    norm.running_mean.fill_(comm.get_rank() + 1)
    share_buffers(norm)
    torch.save(norm.running_mean, folder / f"buffers_{comm.get_rank()}.pth")


@contextmanager
def rank_1_in_iteration_2(action: str) -> Iterator[None]:
    """Rank 1 gets a signal, or a loss that is not finite."""
    original = TinyDetector.forward

    def forward(self, batched_inputs):
        if comm.get_rank() == 1 and self.training and int(self.passes) == 2:
            if action == "signal":
                os.kill(os.getpid(), signal.SIGTERM)
            else:
                self.nan_at = 2
        return original(self, batched_inputs)

    TinyDetector.forward = forward
    try:
        yield
    finally:
        TinyDetector.forward = original


def main(args: argparse.Namespace) -> None:
    """Everything that the tests look at, one after the other."""
    save_all_gradients(OUT)
    save_shared_buffers(OUT)
    train_net(arguments(f"train.output_dir={OUT / 'whole'}"))
    try:
        with rank_1_in_iteration_2("signal"):
            train_net(arguments(f"train.output_dir={OUT / 'parts'}"))
    except SystemExit as stop:
        (OUT / f"stop_{comm.get_rank()}").write_text(f"{stop.code} {(OUT / 'parts' / 'last_checkpoint').read_text()}")
    train_net(arguments(f"train.output_dir={OUT / 'parts'}", flags=("--resume",)))
    try:
        with rank_1_in_iteration_2("nan"):
            train_net(arguments(f"train.output_dir={OUT / 'nan'}"))
    except FloatingPointError as error:
        (OUT / f"nan_{comm.get_rank()}").write_text(str(error))


if __name__ == "__main__":
    OUT = Path(sys.argv[1])
    run(main, arguments())
