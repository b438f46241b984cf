"""Backbones, and the neck that brings their maps to one number of channels."""
