"""Seals: a chained, signed record of which rows the archive's tables hold, so that what is altered later shows."""
