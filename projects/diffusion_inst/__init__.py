"""DiffusionDet, whose heads look into regions of a feature pyramid to denoise boxes, and DiffusionInst, with masks."""
