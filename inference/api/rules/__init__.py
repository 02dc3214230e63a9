"""Paths of rules."""
