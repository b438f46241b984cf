"""Models and criteria of DiffuDINO and its baseline DINO, with and without masks."""
