"""Which records of a batch can never be processed, and how to say so. Pure."""
