"""The only clients of Redis: the view, the decision index, and what they stand on."""
