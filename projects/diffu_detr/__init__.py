"""DiffuDETR: the meta-architecture that the diffusion detectors and their baselines share."""
