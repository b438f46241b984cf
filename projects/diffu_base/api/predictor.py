"""A trained model that takes images and returns detections."""

import logging
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pycocotools.mask as mask_utils
import torch
from detectron2.config import instantiate
from detectron2.data import transforms as T
from detectron2.structures import Instances
from omegaconf import DictConfig, OmegaConf
from torch import Tensor
from tqdm import tqdm

from projects.diffu_base.modeling.batching import groups_by_size
from projects.diffu_base.modeling.detector import Detector

from .agreement import agreement_of
from .inputs import Source, sources_of
from .model_folder import ModelInfo
from .results import ImageResult, Results
from .settings import Settings, dialled
from .start_boxes import boxes_of, refined
from .tiles import Window, joined, windows

logger = logging.getLogger(__name__)

DEFAULT_THRESHOLD = 0.3  # of a model that does not know better
READERS = 4  # threads that read and resize; Pillow does most of it outside Python's lock


@dataclass(frozen=True)
class Unread:
    """An image that could not be read, and why."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: cannot be read: {self.reason}"


@dataclass(frozen=True)
class Prepared:
    """An image as the model takes it.

    Attributes:
        image: (3, h, w) uint8.
        size: height and width of the original.
        tiles: parts of the original, each as the model takes it.
        start_boxes: (N, 4) absolute xyxy in the original, to be denoised; None: there are none.
    """

    source: Source
    image: Tensor
    size: tuple[int, int]
    tiles: tuple[tuple[Window, Tensor], ...] = ()
    start_boxes: np.ndarray | None = None


class Predictor:
    """A model and what it knows of itself; `from_pretrained` makes one.

    Args:
        model: in evaluation mode, on its device.
        cfg: its config, whose test images say how images are resized.
        info: its classes, thresholds and results.
        dtype: the type of autocast; None for float32.

    Attributes:
        model, cfg, info: see above.
        class_names: the names of the classes, in the order of the model's outputs.
    """

    def __init__(self, model: Detector, cfg: DictConfig, info: ModelInfo, *, dtype: torch.dtype | None = None) -> None:
        self.model = model
        self.cfg = cfg
        self.info = info
        self.dtype = dtype
        steps = OmegaConf.select(cfg, "dataloader.test.mapper.augmentation", default=None)
        self._augmentation = [instantiate(each) for each in steps or ()]
        self._one_at_a_time = threading.Lock()  # a prediction changes the model's sampler while it runs

    @property
    def class_names(self) -> list[str]:
        """The names of the classes, in the order of the model's outputs."""
        return self.info.classes

    def set_steps(self, steps: int) -> None:
        """Let the model make `steps` passes where a prediction asks for no other number.

        Raises:
            ValueError: the model cannot make so many.
        """
        Settings(steps=steps).check(self.model)
        self.model.sampler.num_steps = steps

    def predict(self, images: Any, *, channels: str = "RGB", progress: bool | None = None, **settings: Any) -> Results:
        """Detect in images.

        An image file or address that cannot be read is logged and listed in the results' `unread`; the others are not
        disturbed.

        Args:
            images: see `projects.diffu_base.api.inputs.sources_of`: paths, folders, globs, addresses, Pillow images,
                arrays, tensors, or a list of these.
            channels: the order of the channels of arrays and tensors, "RGB" or "BGR" (OpenCV's).
            progress: whether to show a bar; None shows it on a terminal for more than one batch.
            settings: see `projects.diffu_base.api.settings.Settings`: steps, boxes, threshold, seed, draws, batch,
                tiles, start_boxes.

        Returns:
            The detections of each image.

        Raises:
            ValueError: an array, tensor or setting is wrong, there are no images, or none of them can be read.
        """
        found, unread = [], {}
        for result in self.stream(images, channels=channels, progress=progress, **settings):
            if isinstance(result, Unread):
                unread[result.name] = result.reason
            else:
                found.append(result)
        results = Results(found, unread)
        results.require_some()
        return results

    def stream(
        self, images: Any, *, channels: str = "RGB", progress: bool | None = None, **settings: Any
    ) -> Iterator[ImageResult | Unread]:
        """Detect in images and yield their results one by one, in their order, without holding all of them in memory.

        See `predict` for arguments and errors.
        """
        chosen = _settings(settings)
        chosen.check(self.model)
        with tqdm(unit=" images", disable=progress is False or (progress is None and not sys.stderr.isatty())) as bar:
            for batch in self._read_ahead(sources_of(images, channels=channels), chosen):
                detected = self._detect([each for each in batch if isinstance(each, Prepared)], chosen)
                for each in batch:
                    bar.update()
                    yield each if isinstance(each, Unread) else next(detected)

    def _read_ahead(self, sources: Iterator[Source], settings: Settings) -> Iterator[list[Prepared | Unread]]:
        """Batches of images. While the model works on one batch, threads read the next one."""
        numbered = enumerate(sources)
        with ThreadPoolExecutor(READERS) as readers:

            def start() -> list[Future[Prepared | Unread]]:
                return [readers.submit(self._prepare, *each, settings) for each in islice(numbered, settings.batch)]

            reading = start()
            while reading:
                batch = [each.result() for each in reading]
                reading = start()
                yield batch

    def _prepare(self, number: int, source: Source, settings: Settings) -> Prepared | Unread:
        boxes = None if settings.start_boxes is None else boxes_of(settings.start_boxes, number, source.name)
        try:
            pixels = source.read()
        except (OSError, SyntaxError, ValueError) as error:  # Pillow raises any of these for a broken file
            if not source.is_file:
                raise
            reason = str(error) or type(error).__name__
            logger.warning(f"{source.name} cannot be read: {reason}")
            return Unread(source.name, reason)
        size = pixels.shape[0], pixels.shape[1]
        parts = windows(size, settings.tiles) if settings.tiles is not None else []
        tiles = tuple((part, self.as_input(pixels[part.y0 : part.y1, part.x0 : part.x1])) for part in parts)
        return Prepared(source, self.as_input(pixels), size, tiles, boxes)

    def as_input(self, pixels: np.ndarray) -> Tensor:
        """Resize an image as the config's test images are.

        Args:
            pixels: RGB (H, W, 3) uint8.

        Returns:
            (3, h, w) uint8, channels in the model's order.
        """
        ordered = pixels if self.model.input_format == "RGB" else pixels[..., ::-1]
        inputs = T.AugInput(np.ascontiguousarray(ordered))
        T.AugmentationList(self._augmentation)(inputs)
        return torch.from_numpy(np.ascontiguousarray(inputs.image.transpose(2, 0, 1)))

    def _detect(self, batch: list[Prepared], settings: Settings) -> Iterator[ImageResult]:
        """The results of a batch, in its order."""
        results: dict[int, ImageResult] = {}
        if settings.tiles is not None or settings.start_boxes is not None:
            alone = self._tiled if settings.tiles is not None else self._refined
            return (self._result(prepared, [alone(prepared, settings)], settings) for prepared in batch)
        for group in groups_by_size([each.image for each in batch]):
            chosen = [batch[i] for i in group]
            for i, prepared, draws in zip(group, chosen, self._draws(chosen, settings), strict=True):
                results[i] = self._result(prepared, draws, settings)
        return iter([results[i] for i in range(len(batch))])

    def _tiled(self, prepared: Prepared, settings: Settings) -> Instances:
        """The detections of the whole picture and of its tiles, a batch of tiles at a time."""
        ((whole,),) = self._draws([prepared], settings)
        found: list[tuple[Window, Instances]] = []
        tiles = iter(prepared.tiles)
        while batch := list(islice(tiles, settings.batch)):
            for group in groups_by_size([image for _, image in batch]):
                chosen = [Prepared(prepared.source, batch[i][1], batch[i][0].size) for i in group]
                for i, (of_tile,) in zip(group, self._draws(chosen, settings), strict=True):
                    found.append((batch[i][0], self._confident(of_tile, settings)))
        return joined(self._confident(whole, settings), found, self.model.sampler.merge)

    def _refined(self, prepared: Prepared, settings: Settings) -> Instances:
        """The start boxes of an image, denoised, in their order."""
        inputs = {"image": prepared.image, "height": prepared.size[0], "width": prepared.size[1]}
        assert prepared.start_boxes is not None
        with self._one_at_a_time, torch.no_grad(), self._autocast(), dialled(self.model, settings):
            return refined(self.model, inputs, prepared.start_boxes)

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.model.device.type, dtype=self.dtype, enabled=self.dtype is not None)

    def _draws(self, batch: list[Prepared], settings: Settings) -> list[list[Instances]]:
        """For each image, the detections of every draw of noise. The images have one size and are encoded once."""
        inputs: list[dict[str, Any]] = [
            {"image": each.image, "height": each.size[0], "width": each.size[1]} for each in batch
        ]
        with self._one_at_a_time, torch.no_grad(), self._autocast(), dialled(self.model, settings):
            images = self.model.preprocess(inputs)
            encoded = self.model.encode(images)
            draws = []
            for draw in range(settings.draws):
                self.model.sampler.seed = None if settings.seed is None else settings.seed + draw
                draws.append([each["instances"] for each in self.model.detect(encoded, images, inputs)])
        return [list(of_image) for of_image in zip(*draws, strict=True)]

    def _result(self, prepared: Prepared, draws: list[Instances], settings: Settings) -> ImageResult:
        first, *others = (each.to("cpu") for each in draws)
        agreement = agreement_of(first, others) if others else None
        # A person who gives boxes wants all of them back, in their order.
        keep = self._is_confident(first, settings) if settings.start_boxes is None else slice(None)
        kept = first[keep]
        labels = kept.pred_classes.numpy()
        masks = kept.pred_masks.numpy() if kept.has("pred_masks") else None
        return ImageResult(
            name=prepared.source.name,
            size=prepared.size,
            boxes=kept.pred_boxes.tensor.float().numpy(),
            scores=kept.scores.float().numpy(),
            labels=labels,
            class_names=[self.info.classes[label] for label in labels],
            category_ids=[self.info.category_ids[label] for label in labels],
            run_lengths=None if masks is None else [mask_utils.encode(np.asfortranarray(m, np.uint8)) for m in masks],
            agreement=None if agreement is None else agreement[keep].numpy(),
            read=prepared.source.read,
        )

    def _is_confident(self, found: Instances, settings: Settings) -> Tensor:
        thresholds = self.thresholds(settings.threshold).to(found.scores.device)
        return found.scores >= thresholds[found.pred_classes]

    def _confident(self, found: Instances, settings: Settings) -> Instances:
        return found[self._is_confident(found, settings)]

    def thresholds(self, threshold: float | None) -> Tensor:
        """The score (K,) from which a detection of each class counts: `threshold`, or those that the model knows."""
        if threshold is None and self.info.thresholds is not None:
            return torch.tensor(self.info.thresholds)
        return torch.full((len(self.info.classes),), DEFAULT_THRESHOLD if threshold is None else threshold)


def _settings(given: dict[str, Any]) -> Settings:
    if unknown := sorted(given.keys() - Settings.__dataclass_fields__.keys()):
        raise ValueError(f"predict has no {', '.join(unknown)}; it takes {', '.join(Settings.__dataclass_fields__)}")
    return Settings(**given)
