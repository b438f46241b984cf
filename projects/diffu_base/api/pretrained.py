"""Finds a trained model by its folder, its checkpoint or its name, and loads it."""

import os
from pathlib import Path

import torch
from detectron2.config import LazyConfig
from detectron2.utils.file_io import PathManager
from omegaconf import DictConfig

from layers_diffu_detr.checkpoint import has_averages, load_weights
from projects.diffu_base.config.files import config_name, get_config
from projects.diffu_base.config.options.train import TrainOptions
from projects.diffu_base.config.renames import update_names
from projects.diffu_base.engine.build import build_model
from projects.diffu_base.modeling.detector import Detector

from .class_names import Classes
from .hub import fetch, is_hub_id
from .model_folder import CONFIG_FILE, WEIGHTS_FILE, ModelInfo, info_of, is_model_folder
from .predictor import Predictor
from .zoo import WEIGHTS, how_to_get

DTYPES = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}
# The model folders that a training writes, in the order in which they are preferred.
OF_A_RUN = ("model_best", "model_final")
CHECKPOINT_SUFFIXES = (".pth", ".pt", ".pkl", ".safetensors", ".ckpt")


def from_pretrained(
    source: str | os.PathLike,
    *,
    device: str = "auto",
    dtype: str | torch.dtype = "float32",
    steps: int | None = None,
    checkpoint: str | os.PathLike | None = None,
) -> Predictor:
    """Load a trained model, ready to predict.

    Args:
        source: a model folder; the output folder of a training, of which the best model is taken, or else the final
            one; a checkpoint file that lies beside its run's `config.yaml`; a config's name, whose checkpoint is
            fetched if it is published as a file, see `projects.diffu_base.api.zoo`; or a model on the Hugging Face Hub,
            "owner/name" or "owner/name@revision".
        device: "auto" takes CUDA where there is one; or "cpu", "cuda", "cuda:1".
        dtype: "float32", "bfloat16" or "float16", in which the model runs by autocast; its weights stay float32.
        steps: passes of the network in each prediction; None: the config's number.
        checkpoint: the file of the weights for a config's name; None: the published one.

    Raises:
        ValueError: there is no such model, or its files are damaged or do not fit together.
    """
    autocast = _autocast(dtype)
    on = _device(device)
    folder = find_folder(source) if checkpoint is None else None
    if folder is None and checkpoint is None and _is_on_hub(os.fspath(source)):
        folder = fetch(os.fspath(source))
    if folder is not None:
        predictor = _from_folder(folder, on)
    else:
        predictor = _from_checkpoint(*_config_and_checkpoint(source, checkpoint), on)
    predictor.dtype = autocast
    if steps is not None:
        predictor.set_steps(steps)
    return predictor


def find_folder(source: str | os.PathLike) -> Path | None:
    """The model folder that `source` means: itself, or one that a training wrote into it; None if it is no folder.

    Raises:
        ValueError: it is a folder, but there is no model folder.
    """
    path = Path(source).expanduser()
    if not path.is_dir():
        return None
    for candidate in (path, *(path / name for name in OF_A_RUN)):
        if is_model_folder(candidate):
            return candidate
    raise ValueError(
        f"{str(source)!r} holds no model: neither the files of a model folder nor {' or '.join(OF_A_RUN)} of a "
        "training; `diffudetr pack CONFIG CHECKPOINT --output FOLDER` makes one"
    )


def load_model(cfg: DictConfig, weights: Path, device: str, *, averaged: bool = False) -> Detector:
    """Build the model of a config in evaluation mode, with the weights of a file.

    Raises:
        ValueError: the weights do not fit, or the model is not one of this project's detectors.
    """
    channels_last = TrainOptions.of(cfg).channels_last if "train" in cfg else True
    model = build_model(cfg.model, device, channels_last=channels_last)
    if not isinstance(model, Detector):
        raise ValueError(f"the config's model is a {type(model).__name__}; prediction needs a Detector of this project")
    report = load_weights(model, weights, select="ema" if averaged else "model")
    if any(not name.startswith("backbone.") for name in report.initialised):
        raise ValueError(f"{weights} holds a backbone alone, which detects nothing")
    return model.eval()


def averages_to_take(cfg: DictConfig, checkpoint: Path) -> bool:
    """Whether a checkpoint has averaged weights and its config evaluates them."""
    wanted = "train" in cfg and TrainOptions.of(cfg).evaluates_averages
    return wanted and has_averages(checkpoint)


def load_checkpoint(
    cfg: DictConfig, checkpoint: Path, device: str, *, classes: Classes | None = None
) -> tuple[Detector, ModelInfo]:
    """Build the model of a config with the weights of a checkpoint that evaluation takes, and say what is known of it.

    Raises:
        ValueError: see `load_model` and `info_of`.
    """
    averaged = averages_to_take(cfg, checkpoint)
    model = load_model(cfg, checkpoint, device, averaged=averaged)
    return model, info_of(cfg, num_classes=model.num_classes, averaged=averaged, classes=classes)


def _from_folder(folder: Path, device: str) -> Predictor:
    info = ModelInfo.read(folder)
    cfg = LazyConfig.load(str(folder / CONFIG_FILE))  # the Hub's cache links to files of other names
    update_names(cfg)
    model = load_model(cfg, folder / WEIGHTS_FILE, device)
    if model.num_classes != len(info.classes):
        raise ValueError(f"{folder}: model.json names {len(info.classes)} classes; the model has {model.num_classes}")
    return Predictor(model, cfg, info)


def _from_checkpoint(cfg: DictConfig, checkpoint: Path, device: str) -> Predictor:
    model, info = load_checkpoint(cfg, checkpoint, device)
    return Predictor(model, cfg, info)


def _is_on_hub(name: str) -> bool:
    """Whether `name` can only be a model on the Hub: it looks like one, and no file or config has this name."""
    is_known = Path(name).expanduser().exists() or Path(name).suffix in CHECKPOINT_SUFFIXES or config_name(name)
    return is_hub_id(name) and not is_known


def _config_and_checkpoint(source: str | os.PathLike, checkpoint: str | os.PathLike | None) -> tuple[DictConfig, Path]:
    """What `source` means if it is no folder: a config and its weights."""
    name = os.fspath(source)
    if checkpoint is not None:
        return get_config(name), _existing(Path(checkpoint).expanduser())
    path = Path(name).expanduser()
    if path.suffix in CHECKPOINT_SUFFIXES:
        beside = _existing(path).with_name(CONFIG_FILE)
        if not beside.is_file():
            raise ValueError(
                f"{name!r} is a checkpoint without a {CONFIG_FILE} beside it; name its config: "
                f"from_pretrained(CONFIG, checkpoint={name!r})"
            )
        return get_config(str(beside.resolve())), path
    if path.is_file():
        raise ValueError(f"{name!r} is a file, but no checkpoint; a model is a folder, a checkpoint or a name")
    config = config_name(name)
    if config is None:
        raise ValueError(f"there is no model {name!r}: neither a folder, a checkpoint nor a config of `diffudetr zoo`")
    return get_config(config), _published(config)


def _published(config: str) -> Path:
    """The file of a config's published weights, which is fetched once and kept in iopath's cache."""
    weights = WEIGHTS.get(config)
    if weights is None or not weights.is_file:
        raise ValueError(how_to_get(config))
    try:
        return Path(PathManager.get_local_path(weights.address))
    except OSError as error:
        raise ValueError(f"{weights.address} cannot be fetched ({error}); {how_to_get(config)}") from error


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"checkpoint {str(path)!r}: no such file")
    return path


def _autocast(dtype: str | torch.dtype) -> torch.dtype | None:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; allowed are {', '.join(DTYPES)}")
    return DTYPES[name]


def _device(device: str) -> str:
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError as error:
        raise ValueError(f"device is {device!r}; allowed are auto, cpu, cuda and cuda:0, cuda:1, ...") from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device is {device!r}, but PyTorch finds no CUDA device; use auto or cpu")
    return device
