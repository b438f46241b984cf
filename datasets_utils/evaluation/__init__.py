"""Evaluators of detections, in COCO's style and in LVIS's."""

from .evaluators import CocoStyleEvaluator, LvisStyleEvaluator

__all__ = ["CocoStyleEvaluator", "LvisStyleEvaluator"]
