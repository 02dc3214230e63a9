"""Choosing the model that decides: what there is, how good it is, and which one is published."""
