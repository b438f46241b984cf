"""The parts of tools/visualize.py: panels, what is drawn on them, and the pictures."""
