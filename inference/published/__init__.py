"""What is published of a stream: rules, lists and thresholds, every version of them, and which are in force."""
