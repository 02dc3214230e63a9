"""Past decisions by what they are about, and what was decided day by day: from the archive, for the API."""
