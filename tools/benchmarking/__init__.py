"""The parts of tools/benchmark.py: what is measured, how it is measured, and how variants compare."""
