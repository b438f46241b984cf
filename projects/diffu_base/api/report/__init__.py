"""The report on an evaluation: how good a model is, where it errs, from which score its detections can be trusted."""

from .write import DETECTIONS, REPORT, THRESHOLDS, give_thresholds, write_report

__all__ = ["DETECTIONS", "REPORT", "THRESHOLDS", "give_thresholds", "write_report"]
