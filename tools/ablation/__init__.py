"""The parts of tools/ablate.py: rows, crowded and sparse images, measuring, results, table and plot."""
