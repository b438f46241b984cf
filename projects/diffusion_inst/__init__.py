"""DiffuDINO and its baseline DINO: the shared meta-architecture with contrastive denoising."""
