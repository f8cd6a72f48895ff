"""Helpers around the encoders."""
