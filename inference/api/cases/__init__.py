"""Paths of cases, and the path by which labels arrive."""
