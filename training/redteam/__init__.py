"""An attacker who learns what a scorer lets through, to measure what it costs when somebody tries."""
