"""Evaluators of detections, COCO style and LVIS style."""

from .evaluators import CocoStyleEvaluator, LvisStyleEvaluator

__all__ = ["CocoStyleEvaluator", "LvisStyleEvaluator"]
