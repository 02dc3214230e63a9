"""Paths of uploads: a file of events, scored as a job with progress, and downloaded again."""
