"""Meta-architecture, transformer and proposals of DiffuDETR and its baseline, Deformable DETR."""
