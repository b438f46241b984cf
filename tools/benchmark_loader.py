"""Measures where the time of loading goes: milliseconds per image of each stage, and images per second by workers.

    python tools/benchmark_loader.py --config-file configs/common/data/coco_detr.py [--num-workers 1,2] [key=value ...]

It takes any config's `dataloader.train`. The stages run on one core of this process and read most files from the page
cache. A flip only makes a view; the stage after it makes the copy and has its time. A GPU needs as many workers as the
images per second that it takes, divided by those of one worker.
"""

import argparse
import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from detectron2.config import instantiate
from detectron2.data import transforms as T
from detectron2.utils.registry import locate
from omegaconf import DictConfig

from datasets_utils import DetrDatasetMapper
from projects.diffu_base import get_config
from projects.diffu_base.commands.errors import run_tool


class Stopwatch:
    """Adds up the time of calls by name."""

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, int] = defaultdict(int)

    def __call__(self, name: str, function: Callable, *arguments: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments)
        self.seconds[name] += time.perf_counter() - start
        self.calls[name] += 1
        return result

    def milliseconds(self) -> dict[str, float]:
        """Mean milliseconds per call of each name."""
        return {name: 1e3 * seconds / self.calls[name] for name, seconds in self.seconds.items()}


def time_mapper(mapper: Callable, dataset_dicts: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Mean milliseconds per image of the whole mapper and, for a `DetrDatasetMapper`, of each of its stages."""
    watch = Stopwatch()
    for number, dataset_dict in enumerate(dataset_dicts):
        np.random.seed(number)
        watch("whole mapper", mapper, dict(dataset_dict))
        if isinstance(mapper, DetrDatasetMapper):
            for name in ("augmentation", "augmentation_with_crop"):
                if getattr(mapper, name) is not None:
                    _time_stages(watch, mapper, name, dict(dataset_dict))
    return watch.milliseconds()


def _time_stages(watch: Stopwatch, mapper: DetrDatasetMapper, name: str, dataset_dict: dict[str, Any]) -> None:
    inputs = T.AugInput(watch("read and decode", mapper.read, dataset_dict))
    transforms = []
    for i, augmentation in enumerate(getattr(mapper, name).augs):
        transforms.append(watch(f"{name}.{i} {type(augmentation).__name__}", augmentation, inputs))
    watch("to tensor", mapper.to_tensor, inputs.image)
    annotations, image_size = dataset_dict.get("annotations", []), inputs.image.shape[:2]
    watch("instances", mapper.instances, annotations, T.TransformList(transforms), image_size)


def images_per_second(cfg: DictConfig, dataset: list[dict[str, Any]], num_workers: int, num_images: int) -> float:
    """Images per second of the loader `cfg` (`dataloader.train`) with `num_workers`, after its first batch."""
    arguments = {str(key): instantiate(value) for key, value in cfg.items() if key not in ("_target_", "dataset")}
    build = cfg._target_ if callable(cfg._target_) else locate(cfg._target_)
    batches = iter(build(**{**arguments, "dataset": dataset, "num_workers": num_workers}))
    next(batches)
    start, count = time.perf_counter(), 0
    while count < num_images:
        count += len(next(batches))
    return count / (time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config-file", required=True, help="a LazyConfig that defines `dataloader.train`")
    parser.add_argument("--images", type=int, default=200, help="images that each number is measured on; default 200")
    parser.add_argument("--num-workers", default="0,1,2", help="loading processes to compare; default 0,1,2")
    parser.add_argument("opts", nargs="*", help="key=value overrides, e.g. dataloader.train.total_batch_size=8")
    args = parser.parse_args(arguments)
    torch.set_num_threads(1)  # a worker of a loader has one, too

    cfg = get_config(args.config_file, *args.opts).dataloader.train
    dataset = instantiate(cfg.dataset)
    print(f"\nmilliseconds per image, mean over {args.images} images, one core")
    dataset_dicts = list(itertools.islice(itertools.cycle(dataset), args.images))
    for stage, milliseconds in time_mapper(instantiate(cfg.mapper), dataset_dicts).items():
        print(f"  {stage:<50}{milliseconds:8.2f}")
    print("\nimages per second of the loader")
    for num_workers in map(int, args.num_workers.split(",")):
        rate = images_per_second(cfg, dataset, num_workers, args.images)
        print(f"  {f'{num_workers} workers':<50}{rate:8.1f}", flush=True)


if __name__ == "__main__":
    sys.exit(run_tool(main))
