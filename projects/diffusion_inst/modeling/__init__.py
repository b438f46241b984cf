"""Heads, criterion and models of DiffusionDet and DiffusionInst."""
