"""Detector, matcher, criterion, losses and masks of more than one family of models."""
