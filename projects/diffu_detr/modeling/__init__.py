"""Model, matcher and criterion of DiffuDETR."""
