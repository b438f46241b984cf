"""Checks the data of a config, or any annotation file in COCO's format with its folder of images."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from detectron2.config import instantiate
from detectron2.data import DatasetCatalog, MetadataCatalog
from omegaconf import DictConfig

from datasets_utils.catalogs import require_data, require_registered
from datasets_utils.check import check_coco_format, mended
from datasets_utils.coco_format import CocoFiles, require_named
from projects.diffu_base.config.files import get_config


def check(words: Sequence[str], *, read_images: bool, mended_file: str = "") -> int:
    """Print what is wrong with the data that `words` name, as `diffudetr check` takes them.

    Args:
        words: an annotation file and its folder of images, or a config and its `key=value` overrides.
        read_images: False only looks whether the image files exist.
        mended_file: where to write the annotations without the faults; empty writes none.

    Returns:
        How many faults there are.

    Raises:
        ValueError: `words` name neither, or see `check_files` and `check_config`.
    """
    first, *others = words
    if len(others) == 1 and ("=" not in others[0] or Path(others[0]).is_dir()):
        files = CocoFiles(first, others[0], class_file=first)
        return check_files(files, read_images=read_images, mended_file=mended_file)
    if first.endswith(".json"):
        raise ValueError(
            f"{first!r} is an annotation file; behind it stands its folder of images, not {' '.join(others)!r}"
        )
    if mended_file:
        raise ValueError(f"the mended file {mended_file!r} is for an annotation file; {first!r} is a config")
    return check_config(first, others, read_images=read_images)


def check_config(name: str, overrides: Iterable[str] = (), *, read_images: bool) -> int:
    """Print what is wrong with the training and the test data of a config.

    Args:
        name: as `get_config` takes it.
        overrides: `key=value`.
        read_images: False only looks whether the image files exist.

    Returns:
        How many faults there are.

    Raises:
        ValueError: there is no such config, or it names no data.
        FileNotFoundError: data that the config names do not exist.
    """
    cfg = get_config(name, *overrides)
    if "dataloader" not in cfg:
        raise ValueError(f"config {name!r} names no data: it has no dataloader; it has {', '.join(map(str, cfg))}")
    return sum(check_files(files, read_images=read_images) for files in files_of(cfg.dataloader))


def check_files(files: CocoFiles, *, read_images: bool, mended_file: str = "") -> int:
    """Print what is wrong with one data set.

    Args:
        files: the paths of the data set.
        read_images: False only looks whether the image files exist.
        mended_file: where to write its annotations without the faults; empty writes none.

    Returns:
        How many faults there are.

    Raises:
        ValueError: a path is empty or does not exist, or the annotation file is not in COCO's format.
    """
    require_named(**files._asdict())
    report = check_coco_format(files.json_file, files.image_root, class_file=files.class_file, read_images=read_images)
    print(report)
    if mended_file:
        Path(mended_file).write_text(json.dumps(mended(report)))
        print(f"written: {mended_file}")
    return report.num_faults


def files_of(dataloader: DictConfig) -> Iterator[CocoFiles]:
    """The paths of the data sets of `dataloader`, training data first. The classes are those of the training data.

    Raises:
        ValueError: a data set is not registered, or not in COCO's format.
        FileNotFoundError: a data set's files do not exist.
    """
    class_file = ""
    for part in ("train", "test"):
        names = dataloader[part].dataset.names
        if isinstance(names, DictConfig):  # a call that would register the files
            yield instantiate(names.files)
            continue
        for name in [names] if isinstance(names, str) else names:
            json_file, image_root = _files_of_registered(name)
            class_file = class_file or json_file
            yield CocoFiles(json_file, image_root, class_file)


def _files_of_registered(name: str) -> tuple[str, str]:
    if name not in DatasetCatalog:
        raise ValueError(f"{name!r} is no registered data set; there are {', '.join(sorted(DatasetCatalog.list()))}")
    require_registered(name)
    metadata = MetadataCatalog.get(name)
    files = metadata.get("json_file"), metadata.get("image_root")
    if None in files:
        raise ValueError(f"{name!r} has no json_file and image_root in its metadata: it is not in COCO's format")
    require_data(name, *files, source="see docs/datasets.md")
    return files
