"""`dataloader.evaluator`: how detections are measured."""

from typing import Literal

from pydantic import Field

from .base import Options
from .registry import explains


class EvaluatorOptions(Options):
    """The options of both evaluators."""

    dataset_name: str | list[str] = Field(description="The name of the data set that `dataloader.test` loads.")
    backend: str
    max_dets: int | None
    output_dir: str | None = Field(
        None,
        description="The folder for the detections in the format that evaluation servers take; null writes none.",
    )


@explains("datasets_utils.evaluation.evaluators.CocoStyleEvaluator")
class CocoStyleOptions(EvaluatorOptions):
    """COCO's average precision of boxes, and of masks where the model has them."""

    backend: Literal["auto", "hotcoco", "pycocotools"] = Field(
        "auto", description="The package that computes the numbers; `auto` takes hotcoco where it is installed."
    )
    max_dets: int | None = Field(
        None, ge=11, description="Detections that count, per image and class; null takes 100, COCO's own number."
    )


@explains("datasets_utils.evaluation.evaluators.LvisStyleEvaluator")
class LvisStyleOptions(EvaluatorOptions):
    """LVIS's average precision: a class is measured only in the images that were annotated for it."""

    backend: Literal["auto", "hotcoco", "lvis"] = Field(
        "auto", description="The package that computes the numbers; `auto` takes hotcoco where it is installed."
    )
    max_dets: int | None = Field(
        None, ge=1, description="Detections that count, per image; null takes 300, LVIS's own number."
    )
