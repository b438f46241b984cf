"""What tools/visualize.py is made of: panels, what is drawn on them, and the pictures."""
