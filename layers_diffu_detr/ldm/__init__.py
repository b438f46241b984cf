"""Diffusion of boxes: schedules, the forward process, timestep embeddings, samplers. Nothing here knows a network."""
