"""Layers and arithmetic of the diffusion detectors; knows torch only, no detectron2."""
