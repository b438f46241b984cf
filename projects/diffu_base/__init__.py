"""What the diffusion detectors share: modeling, configs and the training engine."""
