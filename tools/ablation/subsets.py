"""Scores the crowded and the sparse images of a test data set apart, in the run that scores all of them."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from detectron2.config import instantiate
from detectron2.data import MetadataCatalog
from detectron2.evaluation import DatasetEvaluator
from omegaconf import DictConfig, OmegaConf

from projects.diffu_base.engine.checkpoint import atomic_write
from tools.ablation.results import MASK

WHOLE, CROWDED, SPARSE = PARTS = ("all", "crowded", "sparse")


class EvaluatorByPart(DatasetEvaluator):
    """Scores a data set as a whole, and parts of it.

    Args:
        whole: the evaluator of all images.
        parts: the evaluator of each part, by its name.
        image_ids: the ids of the images of each part, by its name.
    """

    def __init__(
        self, whole: DatasetEvaluator, parts: dict[str, DatasetEvaluator], image_ids: dict[str, frozenset[int]]
    ) -> None:
        self.evaluators = {WHOLE: whole, **parts}
        self.image_ids = image_ids

    def reset(self) -> None:
        for evaluator in self.evaluators.values():
            evaluator.reset()

    def process(self, inputs: Sequence[dict[str, Any]], outputs: Sequence[dict[str, Any]]) -> None:
        for name, evaluator in self.evaluators.items():
            ids = self.image_ids.get(name)
            chosen = [i for i, x in enumerate(inputs) if ids is None or x["image_id"] in ids]
            evaluator.process([inputs[i] for i in chosen], [outputs[i] for i in chosen])

    def evaluate(self) -> dict[str, dict[str, float]]:
        """Part -> metric of boxes, and of masks as "mask AP", ... -> value."""
        results = {name: evaluator.evaluate() for name, evaluator in self.evaluators.items()}
        return {
            name: result["bbox"] | {MASK + metric: value for metric, value in result.get("segm", {}).items()}
            for name, result in results.items()
            if "bbox" in result
        }


def evaluator_by_part(
    cfg: DictConfig, folder: Path, crowded_above: float | None
) -> tuple[EvaluatorByPart, dict[str, Any]]:
    """The evaluator of ``cfg.dataloader`` for all images, and for those with many and with few objects apart.

    Args:
        cfg: its `dataloader.evaluator` takes a `dataset_name`, as those of `datasets_utils` do.
        folder: where the annotations of the parts are written.
        crowded_above: images with more objects than this are crowded, the others sparse. None takes the median.

    Returns:
        The evaluator, and facts for the report: `dataset`, `crowded_above`, and the number of `images` by part.

    Raises:
        ValueError: the evaluator has no `dataset_name`.
    """
    settings: Any = OmegaConf.to_container(cfg.dataloader.evaluator, resolve=True)
    if "dataset_name" not in settings:
        raise ValueError(f"dataloader.evaluator has no dataset_name; it has {', '.join(settings)}")
    instantiate(cfg.dataloader.test.dataset)  # this fills in the metadata of the data set
    name = instantiate(settings.pop("dataset_name"))
    name = name if isinstance(name, str) else name[0]
    metadata = MetadataCatalog.get(name).as_dict()
    annotations = json.loads(Path(metadata["json_file"]).read_text())
    parts, threshold = split_by_objects(annotations, crowded_above)
    evaluators = {}
    for part, ids in parts.items():
        part_name = f"{name}, {part} above {threshold:g}" if part == CROWDED else f"{name}, {part} up to {threshold:g}"
        path = folder / f"{name}_{part}.json"
        atomic_write(json.dumps(restricted(annotations, ids)), str(path))
        _set_metadata(part_name, {**metadata, "name": part_name, "json_file": str(path)})
        evaluators[part] = instantiate({**settings, "dataset_name": part_name, "output_dir": None})
    facts = {
        "dataset": name,
        "crowded_above": threshold,
        "images": {WHOLE: len(annotations["images"]), **{part: len(ids) for part, ids in parts.items()}},
    }
    return EvaluatorByPart(instantiate(cfg.dataloader.evaluator), evaluators, parts), facts


def split_by_objects(
    annotations: dict[str, Any], crowded_above: float | None
) -> tuple[dict[str, frozenset[int]], float]:
    """Ids of the images with more objects than `crowded_above`, ids of the others, and that number.

    None takes the median. Crowd regions do not count as objects. A part without images is left out.
    """
    objects = Counter(entry["image_id"] for entry in annotations["annotations"] if not entry.get("iscrowd", 0))
    counts = {image["id"]: objects[image["id"]] for image in annotations["images"]}
    threshold = float(np.median(list(counts.values()))) if crowded_above is None else crowded_above
    crowded = frozenset(id for id, count in counts.items() if count > threshold)
    parts = {CROWDED: crowded, SPARSE: frozenset(counts) - crowded}
    return {part: ids for part, ids in parts.items() if ids}, threshold


def restricted(annotations: dict[str, Any], image_ids: frozenset[int]) -> dict[str, Any]:
    """The content of an annotation file for some of its images."""
    return {
        **annotations,
        "images": [image for image in annotations["images"] if image["id"] in image_ids],
        "annotations": [entry for entry in annotations["annotations"] if entry["image_id"] in image_ids],
    }


def _set_metadata(name: str, entries: dict[str, Any]) -> None:
    """Replace what the catalog has under `name`, since detectron2's metadata cannot be changed once they are set."""
    if name in MetadataCatalog.list():
        MetadataCatalog.remove(name)
    MetadataCatalog.get(name).set(**{key: value for key, value in entries.items() if key != "name"})
