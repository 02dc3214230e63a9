"""Files of events that clients uploaded: what is known of each, where it is, its rows, and what they were answered."""
