"""The version of this software, stated here alone; setup.py reads it."""

__version__ = "0.2.0"
