"""Past decisions from the archive: search by what they are about, and counts by day."""
