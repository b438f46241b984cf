"""Reads the annotation files in a folder, whatever labelling tool wrote them. Every reader gives COCO's content."""

import json
import os
import re
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hotcoco import COCO

from .yolo import SPLITS, read_description, read_yolo

DEPTH = 3  # how many folders deep annotation files and images are looked for
_SPLIT_WORDS = {"training": "train", "valid": "val", "validation": "val", **{name: name for name in SPLITS}}
_WORD = re.compile(r"[a-z]+")
_TRIED = 20  # file names by which a folder of images is recognised


@dataclass
class Source:
    """Annotations that were found.

    Attributes:
        split: "train", "val", "test", or "" if its name does not say.
        content: in COCO's format.
        image_root: the folder that the file names in `content` are relative to.
        origin: the file or folder that they come from.
        tool: the format.
        is_coco_file: whether `origin` holds just this content.
    """

    split: str
    content: dict[str, Any]
    image_root: Path
    origin: Path
    tool: str
    is_coco_file: bool = False


def sources_in(root: Path, image_root: Path | None = None) -> list[Source]:
    """All annotations in a folder, or those of a file, in the first of these formats of which there is any.

    Args:
        root: the folder or the file.
        image_root: the folder of images, if the user names it.

    Raises:
        ValueError: a file of a known format is damaged, or no folder has the images of an annotation file.
    """
    for reader in (_yolo, _coco, _cvat, _voc):
        if found := list(reader(root, image_root)):
            return found
    return []


def split_of(path: Path, root: Path) -> str:
    """Which part of the data set a file holds, by the words in its path below `root`."""
    relative = path.relative_to(root) if path.is_relative_to(root) and path != root else Path(path.name)
    for part in reversed(relative.parts):
        for word in _WORD.findall(part.lower()):
            if word in _SPLIT_WORDS:
                return _SPLIT_WORDS[word]
    return ""


def files_below(root: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of `root` with one of these suffixes, `DEPTH` folders deep; `root` itself if it is such a file."""
    if root.is_file():
        return [root] if root.suffix.lower() in suffixes else []
    found: list[Path] = []
    for folder, folders, names in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = [] if depth >= DEPTH else sorted(name for name in folders if not name.startswith("."))
        found += [Path(folder) / name for name in sorted(names) if Path(name).suffix.lower() in suffixes]
    return found


def _yolo(root: Path, image_root: Path | None) -> Iterator[Source]:
    for path in files_below(root, (".yaml", ".yml")):
        if (description := read_description(path)) is not None:
            for split, content, folder in read_yolo(path, description):
                yield Source(split, content, folder, path, "YOLO text files")
            return


def _coco(root: Path, image_root: Path | None) -> Iterator[Source]:
    for path in files_below(root, (".json",)):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            if path == root:
                raise ValueError(f"annotation file {str(path)!r} is not JSON") from None
            continue
        if isinstance(content, dict) and all(isinstance(content.get(k), list) for k in ("images", "categories")):
            whole = "annotations" in content
            content.setdefault("annotations", [])
            folder = image_root or _image_folder(content, path, root)
            yield Source(split_of(path, root), content, folder, path, "a COCO file", is_coco_file=whole)


def _cvat(root: Path, image_root: Path | None) -> Iterator[Source]:
    for path in files_below(root, (".xml",)):
        if _root_tag(path) == "annotations":
            content = _converted(COCO.from_cvat, path)
            folder = image_root or _image_folder(content, path, root)
            yield Source(split_of(path, root), content, folder, path, "CVAT's XML")


def _voc(root: Path, image_root: Path | None) -> Iterator[Source]:
    folders = dict.fromkeys(path.parent for path in files_below(root, (".xml",)) if _root_tag(path) == "annotation")
    for folder in folders:
        content = _converted(COCO.from_voc, folder)
        source = Source(
            split_of(folder, root), content, image_root or _image_folder(content, folder, root), folder, "VOC's XML"
        )
        lists = {name: folder.parent / "ImageSets" / "Main" / f"{name}.txt" for name in SPLITS}
        listed = {name: set(path.read_text().split()) for name, path in lists.items() if path.is_file()}
        if "train" not in listed:
            yield source
        for name, stems in listed.items() if "train" in listed else ():
            images = [image for image in content["images"] if Path(image["file_name"]).stem in stems]
            ids = {image["id"] for image in images}
            annotations = [a for a in content["annotations"] if a["image_id"] in ids]
            yield Source(
                name, {**content, "images": images, "annotations": annotations}, source.image_root, folder, source.tool
            )


def _converted(convert: Any, path: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # shapes that COCO cannot express are left out
            return convert(str(path)).dataset
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error


def _root_tag(path: Path) -> str:
    try:
        return next(iter(ElementTree.iterparse(path, events=("start",))))[1].tag
    except (ElementTree.ParseError, StopIteration):
        return ""


def _image_folder(content: dict[str, Any], file: Path, root: Path) -> Path:
    """The folder that has the images: near the annotation file, of the same split where there are several.

    Raises:
        ValueError: no folder has any of them.
    """
    names = [image["file_name"] for image in content["images"][:_TRIED] if "file_name" in image]
    top = root.parent if root.is_file() else root
    near = [file.parent, file.parent.parent] if file.parent != top or root.is_file() else [file.parent]
    folders = dict.fromkeys([*near, *_folders_below(top), *(_folders_below(near[-1]) if root.is_file() else ())])

    def fit(folder: Path) -> tuple[int, bool]:
        there = sum((folder / name).is_file() for name in names)
        return there, split_of(folder, top) == split_of(file, top)

    best = max(folders, key=fit)
    if names and not fit(best)[0]:
        raise ValueError(
            f"the images of {file} are not there: no folder in {near[-1]} has {names[0]!r}; name it by --images"
        )
    return best.resolve()


def _folders_below(root: Path) -> list[Path]:
    found = []
    for folder, folders, _ in os.walk(root):
        depth = len(Path(folder).relative_to(root).parts)
        folders[:] = [] if depth >= DEPTH else sorted(name for name in folders if not name.startswith("."))
        found.append(Path(folder))
    return found
