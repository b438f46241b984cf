"""Checks and registers a user's own data: an annotation file in COCO's format and a folder of images."""

import json
import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from detectron2.utils import comm

from .catalogs import DataSet, register, require_free
from .check import check_coco_format, mended, sound_categories
from .check_report import Report
from .coco_file import load_coco_format

logger = logging.getLogger(__name__)


class CocoFiles(NamedTuple):
    """The paths of a data set.

    Attributes:
        json_file: the annotation file, in COCO's format.
        image_root: the folder that the file names in `json_file` are relative to.
        class_file: the annotation file whose categories are the classes. For validation data too, it is the file of
            the training data.
    """

    json_file: str
    image_root: str
    class_file: str


# A process checks the same files once: it keeps the report under what `_key` returns.
_reports: dict[tuple[object, ...], Report] = {}
# The report of which this process wrote each mended annotation file.
_mended: dict[Path, Report] = {}


def count_classes(json_file: str) -> int:
    """Returns the number of classes, K: how many valid categories an annotation file has.

    Raises:
        ValueError: the path is empty, or see `read_coco_file`.
    """
    require_named(json_file=json_file)
    return len(sound_categories(json_file))


def register_coco_format(
    name: str, files: CocoFiles, *, mended_dir: str, drop_faulty: bool = False, read_images: bool = True
) -> str:
    """Checks a data set and registers it in detectron2's catalogs.

    If entries must be left out or filled in, it writes another annotation file, which loaders and evaluators then read.

    Args:
        name: the data set's name in the catalogs. A later call with the same name replaces the data set.
        files: the paths of the data set.
        mended_dir: the folder for that other annotation file, `<name>.json`.
        drop_faulty: leave out the entries that the check finds faulty. If False, faults raise an error.
        read_images: see `check_coco_format`.

    Returns:
        `name`. A config can therefore put a call of this function in the place of a data set's name.

    Raises:
        ValueError: the data have faults and `drop_faulty` is False (the error is the report), a path is empty or does
            not exist, or the name is taken (see `catalogs.require_free`).
    """
    require_free(name)
    report = _report(files, read_images)
    _refuse_faults([report], drop_faulty)
    json_file = files.json_file
    if report.needs_mending:
        json_file = _write_mended(report, Path(mended_dir) / f"{name}.json")
    names = dict(sorted(sound_categories(files.class_file).items()))
    metadata = {
        "json_file": json_file,
        "image_root": files.image_root,
        "evaluator_type": "coco",
        "thing_classes": list(names.values()),
        "thing_dataset_id_to_contiguous_id": {category_id: label for label, category_id in enumerate(names)},
    }
    register(DataSet(name, partial(load_coco_format, json_file, files.image_root, name), metadata))
    return name


def check_before_training(
    train: CocoFiles | None, test: CocoFiles | None, *, drop_faulty: bool = False, read_images: bool = True
) -> None:
    """Checks the training data and the test data of a run and logs both reports.

    Every process must call it. Rank 0 reads the files and sends its reports to the others.

    Args:
        train, test: the paths of the two data sets. None means that the run has no such data set.
        drop_faulty: only log the faults, which `register_coco_format` then leaves out. If False, faults raise an error.
        read_images: see `check_coco_format`.

    Raises:
        ValueError: the data have faults and `drop_faulty` is False (the error holds the reports of both data sets), or
            a path is empty or does not exist.
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
    """Makes sure that paths are given. In a config they are empty until the user says where the data are.

    Raises:
        ValueError: a path is empty. The error names it and the settings of a config that name the data.
    """
    for name, path in paths.items():
        if not path:
            raise ValueError(
                f"{name} is {path!r}; it must be a path. Configs on your own data take data.train_json=FILE "
                "data.train_images=FOLDER data.val_json=FILE data.val_images=FOLDER"
            )


def _key(files: CocoFiles, read_images: bool) -> tuple[object, ...]:
    """Returns what a report depends on: the paths, when their files were last changed, and how they are checked."""
    changed = tuple(os.path.getmtime(path) for path in files if os.path.isfile(path))
    return (*files, read_images, *changed)


def _report(files: CocoFiles, read_images: bool) -> Report:
    """Returns the report on a data set, which is checked only if this process has no report on the same files."""
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
    """Writes the annotation file without the report's faults and returns its path.

    Several processes may write it at once: each writes a file of its own and then renames it to `path`.
    """
    if _mended.get(path) is not report or not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial_path = path.with_name(f".{path.name}-{os.getpid()}")
        partial_path.write_text(json.dumps(mended(report)))
        os.replace(partial_path, path)
        _mended[path] = report
        logger.warning("%s: %d faults left out; in use is %s", report.json_file, report.num_faults, path)
    return str(path)
