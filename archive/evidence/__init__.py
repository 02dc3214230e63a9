"""Evidence: one decision with all that it was made of, made again, and proved; from an archive alone."""
