"""Runs of the tiny configuration, in this process and under torchrun."""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig

from projects.diffu_base.config.checks import load_config
from tools.train_net import argument_parser, main

ROOT = Path(__file__).resolve().parents[4]
CONFIG = Path(__file__).with_name("tiny_config.py")


def arguments(*overrides: str, flags: tuple[str, ...] = ()) -> argparse.Namespace:
    """Parsed arguments of tools/train_net.py on the tiny configuration and the CPU."""
    return argument_parser().parse_args(["--config-file", str(CONFIG), "--num-gpus", "0", *flags, *overrides])


def config(*overrides: str) -> DictConfig:
    """The tiny configuration on the CPU, as a run reads it."""
    return load_config(str(CONFIG), overrides, num_gpus=0)


def run(output_dir: Path, *overrides: str, flags: tuple[str, ...] = ()) -> dict[str, Any]:
    """tools/train_net.py in this process; returns what it returns."""
    return main(arguments(f"train.output_dir={output_dir}", *overrides, flags=flags))


def torchrun(processes: int, script: Path, *script_arguments: str) -> subprocess.CompletedProcess[str]:
    """A script in several processes with gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [*command, str(script), *script_arguments], env=environment, capture_output=True, text=True, timeout=300
    )


def load(path: Path) -> dict[str, Any]:
    """A checkpoint, as plain data."""
    return torch.load(path, weights_only=True)


def assert_same_training_state(path: Path, reference: Path) -> None:
    """Weights, average, optimizer, schedule and random streams of two checkpoints are bitwise equal."""
    ours, theirs = load(path), load(reference)
    assert ours.keys() == theirs.keys()
    assert _flat(ours) == _flat(theirs)


def _flat(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _flat(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(entry) for entry in value]
    return value.tolist() if isinstance(value, torch.Tensor) else value
