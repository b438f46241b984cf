"""The parts of tools/benchmark.py: settings, their worker processes, what a worker runs, and the comparison."""
