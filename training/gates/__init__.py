"""The gates before a model decides: what is measured of it, and which bounds it is held to."""
