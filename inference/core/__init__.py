"""Vector assembly, score to decision, rules and reason codes as pure functions."""
