"""Registers the digit scenes, and has detectron2's COCO 2017 explain what is missing."""

from pathlib import Path

from detectron2.data import DatasetCatalog, MetadataCatalog

from .catalogs import CheckedLoader, DataSet, StrPath, datasets_root, is_of_detectron2, register

BUILD_COMMAND = "python tools/build_digit_scenes.py"
CLASS_NAMES = tuple(str(digit) for digit in range(10))
COCO_SOURCE = (
    "download train2017.zip, val2017.zip and annotations_trainval2017.zip from https://cocodataset.org/#download and "
    "unpack them into the folder coco"
)


def digit_scenes_root(*, lvis: bool = False) -> Path:
    """Returns where the digit scenes belong: `$DETECTRON2_DATASETS/digit_scenes`, or `digit_scenes_lvis` there."""
    return datasets_root() / ("digit_scenes_lvis" if lvis else "digit_scenes")


def digit_scenes_data_sets(root: StrPath | None = None, *, lvis: bool = False) -> list[DataSet]:
    """Returns the data sets that `register_digit_scenes` registers for these arguments."""
    root = Path(root) if root is not None else digit_scenes_root(lvis=lvis)
    return [
        DataSet.of_coco_format(
            f"digit_scenes_{'lvis_' if lvis else ''}{split}",
            root / "annotations" / f"instances_{split}.json",
            root / split,
            source=f"build it with `{BUILD_COMMAND}{' --format lvis' if lvis else ''}`",
            evaluator_type="lvis" if lvis else "coco",
            thing_classes=list(CLASS_NAMES),
            # Loading the annotation file sets this mapping too, but an evaluator may need it earlier.
            thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(CLASS_NAMES))},
        )
        for split in ("train", "val")
    ]


def register_digit_scenes(root: StrPath | None = None, *, lvis: bool = False) -> None:
    """Registers `digit_scenes_train` and `digit_scenes_val`. A later call with another root replaces them.

    Args:
        root: the folder that `tools/build_digit_scenes.py` fills. It need not exist yet. None is
            `digit_scenes_root(lvis=lvis)`.
        lvis: register the scenes in LVIS's format, `digit_scenes_lvis_train` and `digit_scenes_lvis_val`, instead.

    Raises:
        ValueError: see `catalogs.require_free`.
    """
    register(*digit_scenes_data_sets(root, lvis=lvis))


def explain_missing_coco() -> None:
    """Makes detectron2's COCO 2017 raise an error that says which file is missing, where it belongs and how to get it.

    A user's data set under the name `coco_2017_train` or `coco_2017_val` stays as it is.
    """
    for name in ("coco_2017_train", "coco_2017_val"):
        if is_of_detectron2(name):
            metadata = MetadataCatalog.get(name)
            paths = (metadata.json_file, metadata.image_root)
            DatasetCatalog[name] = CheckedLoader(DatasetCatalog[name], name, paths, COCO_SOURCE)
