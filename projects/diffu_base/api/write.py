"""Writes the results of a prediction into a folder while they come."""

import os
from pathlib import Path

from PIL import Image

from .predictor import Unread
from .results import ImageResult, Results

COCO_FILE, TABLE_FILE, PICTURES = "detections.json", "detections.csv", "pictures"


class ResultWriter:
    """Takes results one by one and writes a folder.

    Args:
        folder: where to write; it is made if it is not there.
        pictures: whether to write a picture of each image.
    """

    def __init__(self, folder: str | os.PathLike, *, pictures: bool) -> None:
        self.folder = Path(folder)
        self.pictures = pictures
        self._results: list[ImageResult] = []
        self._unread: dict[str, str] = {}
        self._names: set[str] = set()

    def add(self, result: ImageResult | Unread) -> None:
        """Take the next result; its picture is written at once."""
        if isinstance(result, Unread):
            self._unread[result.name] = result.reason
            return
        self._results.append(result)
        if self.pictures:
            path = self.folder / PICTURES / self._file_name(result.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(result.picture()).save(path, quality=92)

    def _file_name(self, name: str) -> str:
        """A name for a picture that no other picture has: images of different folders may have one name."""
        stem = Path(name.partition("?")[0]).stem or "image"
        free, number = stem, 1
        while free in self._names:
            number += 1
            free = f"{stem}-{number}"
        self._names.add(free)
        return f"{free}.jpg"

    def finish(self) -> Results:
        """Write the files of all images and return the results.

        Raises:
            ValueError: no image could be read.
        """
        results = Results(self._results, self._unread)
        results.require_some()
        self.folder.mkdir(parents=True, exist_ok=True)
        results.write_coco(self.folder / COCO_FILE)
        results.write_table(self.folder / TABLE_FILE)
        return results
