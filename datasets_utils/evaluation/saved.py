"""The file in which an evaluation keeps its detections, so that a report can be made of them without the model."""

import json
import os
import zipfile
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from .backends import HotCoco, HotCocoLvis
from .detections import DetectionTable

SCORERS = {"coco": HotCoco, "lvis": HotCocoLvis}


@dataclass(frozen=True)
class Scored:
    """What detections were scored against, and how.

    Attributes:
        dataset: the data set's name.
        json_file: the absolute path of its annotation file.
        image_root: the absolute path of the folder that the annotation file's file names are relative to.
        style: "coco" or "lvis", whose average precision it is.
        max_dets: how many detections counted: per image and class in COCO style, per image in LVIS style.
        category_ids: the annotation file's id of each of the model's classes.
        class_names: the name of each of the model's classes.
    """

    dataset: str
    json_file: str
    image_root: str
    style: str
    max_dets: int
    category_ids: list[int]
    class_names: list[str]


@dataclass(frozen=True)
class SavedDetections:
    """The detections of an evaluation.

    Attributes:
        table: the detections.
        scored: what they were scored against.
        facts: what else is to be told about the evaluation, such as its checkpoint; JSON values by their names.
    """

    table: DetectionTable
    scored: Scored
    facts: dict[str, Any]

    def save(self, path: str | os.PathLike) -> None:
        """Writes one file, which takes at most 32 bytes a detection and the run lengths of its mask."""
        columns = {name: value for name, value in vars(self.table).items() if value is not None and name != "masks"}
        if self.table.masks is not None:
            columns["mask_bytes"] = np.frombuffer(b"".join(self.table.masks), dtype=np.uint8)
            columns["mask_lengths"] = np.array([len(mask) for mask in self.table.masks], dtype=np.int32)
        about = json.dumps({"scored": asdict(self.scored), "facts": self.facts})
        part = f"{os.fspath(path)}.part"  # so that there is never half a file under the name
        with open(part, "wb") as file:
            np.savez_compressed(file, about=np.array(about), **columns)
        os.replace(part, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Reads what `save` wrote.

        Raises:
            ValueError: the file is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                columns = dict(file)
            about = json.loads(str(columns.pop("about")))
        except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{os.fspath(path)!r} holds no detections of an evaluation: {error}") from error
        if "mask_bytes" in columns:
            columns["masks"] = _split(columns.pop("mask_bytes").tobytes(), columns.pop("mask_lengths"))
        known = {field.name for field in fields(DetectionTable)}
        table = DetectionTable(**{name: value for name, value in columns.items() if name in known})
        return cls(table, Scored(**about["scored"]), about["facts"])


def _split(joined: bytes, lengths: np.ndarray) -> np.ndarray:
    """Returns the parts of these lengths, (N,) objects of type bytes."""
    ends = np.cumsum(lengths)
    parts = np.empty(len(lengths), dtype=object)
    parts[:] = [joined[end - length : end] for end, length in zip(ends.tolist(), lengths.tolist(), strict=True)]
    return parts
