"""DiffuAlignDETR and its baseline Align-DETR: DiffuDINO and DINO with another matcher and another class loss."""
