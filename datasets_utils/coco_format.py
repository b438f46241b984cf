"""A data set of one's own, from an annotation file in COCO's format and a folder of images."""

import json
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from detectron2.utils import comm

from .check import check_coco_format, mended, sound_categories
from .check_report import Report
from .coco_file import load_coco_format
from .register import register

logger = logging.getLogger(__name__)


class CocoFiles(NamedTuple):
    """Where a data set is.

    Attributes:
        json_file: annotations in COCO's format.
        image_root: the folder that its file names are relative to.
        class_file: the annotation file whose categories are the classes: that of the training images.
    """

    json_file: str
    image_root: str
    class_file: str


# Data are checked once in a process, before training.
_reports: dict[tuple[object, ...], Report] = {}
_mended: dict[Path, Report] = {}


def count_classes(json_file: str) -> int:
    """Returns the number of classes of an annotation file, K."""
    require_named(json_file=json_file)
    return len(sound_categories(json_file))


def register_coco_format(
    name: str, files: CocoFiles, *, mended_dir: str, drop_faulty: bool = False, read_images: bool = True
) -> str:
    """Checks a data set and registers it in detectron2's catalogs.

    Args:
        name: in the catalogs.
        files: where it is.
        mended_dir: where the annotation file is written without what was left out, for loaders and evaluators to read.
        drop_faulty: leave out what is faulty; otherwise a data set with faults is refused.
        read_images: see `check_coco_format`.

    Returns:
        `name`, so that a config can put this call where a name belongs.

    Raises:
        ValueError: the report, if there are faults and `drop_faulty` is False; a path is empty or leads nowhere.
    """
    report = _report(files, read_images)
    _refuse_faults([report], drop_faulty)
    json_file = files.json_file
    if report.needs_mending:
        json_file = _write_mended(report, Path(mended_dir) / f"{name}.json")
    names = dict(sorted(sound_categories(files.class_file).items()))
    register(
        name,
        partial(load_coco_format, json_file, files.image_root, name),
        json_file=json_file,
        image_root=files.image_root,
        evaluator_type="coco",
        thing_classes=list(names.values()),
        thing_dataset_id_to_contiguous_id={category_id: label for label, category_id in enumerate(names)},
    )
    return name


def check_before_training(
    train: CocoFiles | None, test: CocoFiles | None, *, drop_faulty: bool = False, read_images: bool = True
) -> None:
    """Checks the data of a run, both sets before one is refused, and logs the reports.

    All processes call this together: the first reads the files and tells the others.

    Args:
        train, test: where the sets are; None: there is no such set.
        drop_faulty: faults are reported only; `register_coco_format` then leaves them out.
        read_images: see `check_coco_format`.

    Raises:
        ValueError: the reports, if there are faults and `drop_faulty` is False; a path is empty or leads nowhere.
    """
    reports = []
    for files in filter(None, (train, test)):
        report = _report(files, read_images) if comm.is_main_process() else None
        reports.append(comm.all_gather(report)[0])
        _reports[_key(files, read_images)] = reports[-1]
    for report in reports:
        logger.info("Checked %s", report)
    _refuse_faults(reports, drop_faulty)


def require_named(**paths: str) -> None:
    """Refuses empty paths, which is what a config has that was not told where the data are.

    Raises:
        ValueError: naming the path and the settings of a config.
    """
    for name, path in paths.items():
        if not path:
            raise ValueError(
                f"{name} is {path!r}; it must be a path. Configs on your own data take data.train_json=FILE "
                "data.train_images=FOLDER data.val_json=FILE data.val_images=FOLDER"
            )


def _key(files: CocoFiles, read_images: bool) -> tuple[object, ...]:
    changed = tuple(os.path.getmtime(path) for path in files if os.path.isfile(path))
    return (*files, read_images, *changed)


def _report(files: CocoFiles, read_images: bool) -> Report:
    require_named(**files._asdict())
    key = _key(files, read_images)
    if key not in _reports:
        json_file, image_root, class_file = files
        _reports[key] = check_coco_format(json_file, image_root, class_file=class_file, read_images=read_images)
    return _reports[key]


def _refuse_faults(reports: Sequence[Report], drop_faulty: bool) -> None:
    faulty = [str(report) for report in reports if report.num_faults]
    if faulty and not drop_faulty:
        raise ValueError(
            "there are faults in the data:\n" + "\n".join(faulty) + "\nMend the files, or leave out what is faulty by "
            "data.drop_faulty=True"
        )


def _write_mended(report: Report, path: Path) -> str:
    """Writes the mended annotation file in one go: all processes of a run may do so."""
    if _mended.get(path) is not report or not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_name(f".{path.name}-{os.getpid()}")
        partial_path.write_text(json.dumps(mended(report)))
        os.replace(partial_path, path)
        _mended[path] = report
        logger.warning("%s: %d faults left out; in use is %s", report.json_file, report.num_faults, path)
    return str(path)
