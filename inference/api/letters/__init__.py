"""Paths of dead letters."""
