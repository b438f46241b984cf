"""LVIS v1: 1203 classes on COCO's images. Some classes are rare, some common, some frequent."""

from pathlib import Path
from typing import Any

from detectron2.data.datasets.lvis import get_lvis_instances_meta

from .catalogs import DataSet, StrPath, datasets_root, register

SPLITS = ("train", "val", "minival")
SOURCE = (
    "download the annotations of LVIS v1 from https://www.lvisdataset.org/dataset and unpack {json_name} into the "
    "folder lvis; the images are train2017 and val2017 of COCO, in the folder coco"
)
MINIVAL_SOURCE = (
    "{json_name}, 5,000 of the validation images, comes from MDETR's authors (https://github.com/ashkamath/mdetr); it "
    "belongs into the folder lvis, and its images are those of COCO, in the folder coco"
)


def lvis_data_sets(root: StrPath | None = None) -> list[DataSet]:
    """Returns the data sets that `register_lvis` registers for this root."""
    root = datasets_root() if root is None else Path(root)
    # The file names in the annotations begin with train2017/ or val2017/.
    image_root = root / "lvis" if (root / "lvis" / "val2017").exists() else root / "coco"
    classes: dict[str, Any] = get_lvis_instances_meta("lvis_v1")
    data_sets = []
    for split in SPLITS:
        json_name = f"lvis_v1_{split}.json"
        data_sets.append(
            DataSet.of_coco_format(
                f"lvis_v1_{split}",
                _first_existing(root / "lvis" / json_name, root / "lvis" / "annotations" / json_name),
                image_root,
                source=(MINIVAL_SOURCE if split == "minival" else SOURCE).format(json_name=json_name),
                evaluator_type="lvis",
                thing_dataset_id_to_contiguous_id={i + 1: i for i in range(len(classes["thing_classes"]))},
                **classes,
            )
        )
    return data_sets


def register_lvis(root: StrPath | None = None) -> None:
    """Registers `lvis_v1_train`, `lvis_v1_val` and `lvis_v1_minival`. A later call with another root replaces them.

    Unlike detectron2's data sets of these names, they load without the lvis package.

    Args:
        root: the folder that holds the annotations, `lvis/lvis_v1_*.json` or `lvis/annotations/lvis_v1_*.json`, and
            the images in `coco/`, or in `lvis/` if `lvis/val2017` exists. It need not exist yet. None is
            `$DETECTRON2_DATASETS`.

    Raises:
        ValueError: see `catalogs.require_free`.
    """
    register(*lvis_data_sets(root))


def _first_existing(*paths: Path) -> Path:
    """Returns the first of `paths` that exists, or the first of all if none does."""
    return next((path for path in paths if path.exists()), paths[0])
