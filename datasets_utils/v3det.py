"""V3Det: 13,204 classes, which its annotation files name."""

from pathlib import Path

from .catalogs import DataSet, StrPath, datasets_root, register

SOURCE = (
    "see https://github.com/V3Det/V3Det: {json_name} belongs into the folder v3det/annotations, and its "
    "v3det_image_download.py fetches the images, which belong into v3det/images"
)


def v3det_data_sets(root: StrPath | None = None) -> list[DataSet]:
    """Returns the data sets that `register_v3det` registers for this root."""
    folder = (datasets_root() if root is None else Path(root)) / "v3det"
    data_sets = []
    for split in ("train", "val"):
        json_file = folder / "annotations" / f"v3det_2023_v1_{split}.json"
        data_sets.append(
            DataSet.of_coco_format(
                f"v3det_{split}",
                json_file,
                folder,  # The file names in the annotations begin with images/.
                image_folder=folder / "images",
                source=SOURCE.format(json_name=json_file.name),
                evaluator_type="coco",
            )
        )
    return data_sets


def register_v3det(root: StrPath | None = None) -> None:
    """Registers `v3det_train` and `v3det_val`. A later call with another root replaces them.

    Args:
        root: the folder that holds `v3det/annotations/v3det_2023_v1_{train,val}.json` and `v3det/images/`. It need not
            exist yet. None is `$DETECTRON2_DATASETS`.

    Raises:
        ValueError: see `catalogs.require_free`.
    """
    register(*v3det_data_sets(root))
