"""Layers and arithmetic of diffusion detectors. This package uses PyTorch and torchvision, but no detection library."""
