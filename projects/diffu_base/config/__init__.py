"""Configs: finding them, building them, checking their values."""
