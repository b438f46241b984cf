"""Turns a detector into one graph, from images and noise to detections, for runtimes without this project."""
