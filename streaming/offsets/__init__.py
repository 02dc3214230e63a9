"""Committed offsets against what the outputs cover, and the tool that repairs them."""
