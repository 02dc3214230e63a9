"""What-if: rules, lists and thresholds held against the decisions of the past; from an archive alone."""
