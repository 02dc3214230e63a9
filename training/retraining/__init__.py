"""Retraining: when a model is trained again, whether its labels can be believed, and each step until it decides."""
