"""Paths of the keys themselves."""
