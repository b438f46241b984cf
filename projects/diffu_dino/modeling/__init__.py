"""Model and criterion of DiffuDINO."""
