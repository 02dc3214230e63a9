"""Paths of models: which ones decide, what each is, how it was chosen, and what its thresholds do."""
