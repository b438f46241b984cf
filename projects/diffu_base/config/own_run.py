"""The config of a training on one's own data, by any model: a config, or a model that has been trained."""

import os
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from datasets_utils.coco_file import read_coco_file
from datasets_utils.coco_format import CocoFiles
from datasets_utils.own_data import OwnData

from .files import get_config

OWN_DATA_RUN = "common/own_data_run"


def own_run(model: str, data: OwnData, output_dir: str) -> tuple[DictConfig, bool]:
    """The config of a run that trains `model` on a user's own data; faulty entries of the data are left out.

    Args:
        model: the name of a config, or the folder of a trained model, from which training then starts.
        data: the files. Without validation data the run evaluates nothing.
        output_dir: the run's folder.

    Returns:
        The config, and whether training starts from a trained detector.

    Raises:
        ValueError: there is no such model.
    """
    folder = _folder_of(model)
    given = get_config(model if folder is None else str((folder / "config.yaml").resolve()))
    val = data.val or data.train  # so that images are resized for prediction as in an evaluation
    files = {
        "train_json": data.train.json_file,
        "train_images": data.train.image_root,
        "val_json": val.json_file,
        "val_images": val.image_root,
    }
    cfg = get_config(OWN_DATA_RUN)
    cfg.data.update(files, drop_faulty=True)
    for key in ("optimizer", "train"):
        if key in given:
            cfg[key] = given[key]
    if "dataloader" in given:
        _take_sizes(cfg, given.dataloader)
    cfg.model = given.model
    cfg.model.num_classes = len(read_coco_file(data.train.json_file)["categories"])
    cfg.dataloader.train.mapper.mask_on = "mask_head" in cfg.model
    cfg.train.update(output_dir=output_dir, progress_bar=True, new_classes=True)
    cfg.data.mended_dir = os.path.join(output_dir, "data")
    if folder is not None:
        cfg.train.init_checkpoint = str(folder)
    _set_evaluation(cfg, data.val)
    OmegaConf.resolve(cfg.data)
    return cfg, folder is not None


def _take_sizes(cfg: DictConfig, dataloader: DictConfig) -> None:
    """Take the sizes of images and batches of a run, and its workers."""
    for part, key in (("train", "total_batch_size"), ("test", "batch_size")):
        if part in dataloader:
            for name in (key, "num_workers"):
                if name in dataloader[part]:
                    cfg.dataloader[part][name] = dataloader[part][name]
    resizes = [
        each for each in dataloader.get("test", {}).get("mapper", {}).get("augmentation", []) if "max_size" in each
    ]
    for each in resizes[:1]:
        cfg.dataloader.test.mapper.augmentation[0].update(
            short_edge_length=each.short_edge_length, max_size=each.max_size
        )


def _set_evaluation(cfg: DictConfig, val: CocoFiles | None) -> None:
    """Evaluate what the validation data allow: AP and the best model, detections alone, or nothing."""
    if val is None:
        del cfg.dataloader["evaluator"]
        cfg.data_check.test = None
        cfg.train.checkpointer.best_metric = ""
    elif not read_coco_file(val.json_file)["annotations"]:
        cfg.dataloader.evaluator.output_dir = "${train.output_dir}"
        cfg.train.checkpointer.best_metric = ""
    else:
        cfg.train.checkpointer.best_metric = "segm/AP" if "mask_head" in cfg.model else "bbox/AP"


def _folder_of(model: str) -> Path | None:
    """The folder of a trained model; None if `model` is no folder."""
    path = Path(model).expanduser()
    if not path.is_dir():
        return None
    for folder in (path, path / "model_best", path / "model_final"):
        if (folder / "model.safetensors").is_file():
            return folder
    raise ValueError(f"--model {model!r} is a folder without a trained model: neither model.safetensors nor model_best")
