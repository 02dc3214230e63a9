"""Scoring: features in, decisions out, and the HTTP API that reads both. Pure parts live in ``weir.inference.core``."""
