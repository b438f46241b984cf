"""DiffuDINO and its baseline DINO: the DETR family's meta-architecture with contrastive denoising queries."""
