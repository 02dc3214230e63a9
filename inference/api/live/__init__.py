"""Decisions as they are committed, sent to those who watch (server-sent events)."""
