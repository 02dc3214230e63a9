"""Paths of lists that are published."""
