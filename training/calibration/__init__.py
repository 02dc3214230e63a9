"""What a score is worth: fitted on one interval of time, measured on a later one, drawn."""
