"""Starts processes by detectron2's ``launch`` or under torchrun. Both ways make the same process groups."""

import argparse
import os
from collections.abc import Callable, Mapping
from datetime import timedelta

import torch
import torch.distributed as dist
from detectron2.engine import launch
from detectron2.utils import comm

TORCHRUN_VARIABLES = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
TIMEOUT = timedelta(minutes=30)  # how long the other ranks wait for one that evaluates


def started_by_torchrun(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether torchrun (or something that sets its variables) started this process."""
    return all(name in environ for name in TORCHRUN_VARIABLES)


def run(main: Callable[[argparse.Namespace], object], args: argparse.Namespace) -> None:
    """Call ``main(args)`` in every process of the job.

    Under torchrun this process joins the job's group, with nccl where CUDA is used and gloo on the CPU. Otherwise
    detectron2's ``launch`` starts ``--num-gpus`` processes on each of ``--num-machines`` machines.

    Raises:
        ValueError: process counts that this machine cannot serve.
    """
    if started_by_torchrun():
        join_torchrun_group(use_cuda=args.num_gpus > 0 and torch.cuda.is_available())
        try:
            main(args)
        finally:
            dist.destroy_process_group()
        return
    check_process_counts(args)
    launch(
        main,
        args.num_gpus,
        num_machines=args.num_machines,
        machine_rank=args.machine_rank,
        dist_url=args.dist_url,
        args=(args,),
    )


def check_process_counts(args: argparse.Namespace) -> None:
    """Check the process counts before any process is started.

    Raises:
        ValueError: naming the argument, its value and what is allowed.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if args.num_gpus < 0:
        raise ValueError(f"--num-gpus must be 0 or more, got {args.num_gpus}")
    if args.num_gpus > max(gpus, 1):
        raise ValueError(
            f"--num-gpus is {args.num_gpus}, but this machine has {gpus} CUDA devices; "
            "several CPU processes: torchrun --nproc_per_node=N -m projects.diffu_base.cli train CONFIG --num-gpus 0"
        )
    if args.num_machines > 1 and gpus * args.num_gpus == 0:
        raise ValueError(
            f"--num-machines is {args.num_machines} without CUDA devices in use; start CPU jobs on several machines "
            "with torchrun"
        )
    if args.num_machines > 1 and args.dist_url == "auto":
        raise ValueError(
            f"--num-machines is {args.num_machines}, but --dist-url is 'auto', which finds a port of one machine; "
            "allowed is tcp://HOST:PORT of machine 0"
        )
    if not 0 <= args.machine_rank < args.num_machines:
        raise ValueError(f"--machine-rank must lie in [0, {args.num_machines}), got {args.machine_rank}")


def join_torchrun_group(*, use_cuda: bool) -> None:
    """Initialise the default group from torchrun's variables and detectron2's group of this machine's ranks."""
    local_rank, local_size = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if use_cuda:
        gpus = torch.cuda.device_count()
        if local_size > gpus:
            raise ValueError(f"torchrun started {local_size} processes here, but this machine has {gpus} CUDA devices")
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if use_cuda else "gloo", init_method="env://", timeout=TIMEOUT)
    create_local_group(local_size)
    comm.synchronize()


def create_local_group(local_size: int) -> None:
    """Tell detectron2 which ranks share this machine; ranks of one machine are consecutive."""
    if hasattr(comm, "create_local_process_group"):
        comm.create_local_process_group(local_size)
        return
    # detectron2 v0.6 makes this group only in its own launch
    machine = comm.get_rank() // local_size
    for first in range(0, comm.get_world_size(), local_size):
        group = dist.new_group(list(range(first, first + local_size)))
        if first == machine * local_size:
            comm._LOCAL_PROCESS_GROUP = group
