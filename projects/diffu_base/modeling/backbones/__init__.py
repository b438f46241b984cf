"""Backbones and necks."""
