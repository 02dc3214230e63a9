"""What each threshold of a model does, from the scores that were logged and the labels that came since."""
