"""Models, heads, criteria and matcher of DiffusionDet and DiffusionInst."""
