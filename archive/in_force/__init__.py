"""What was in force besides models: versions of rules, lists and thresholds, kept next to the tables by content."""
