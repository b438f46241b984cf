"""DiffuDETR and its baseline Deformable DETR: the meta-architecture that all models of the DETR family share."""
