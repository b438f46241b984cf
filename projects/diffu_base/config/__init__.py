"""Finds configs, builds them and checks their values."""
