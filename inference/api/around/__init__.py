"""Paths about what the archive holds around one event."""
