"""The only client of the schema registry, its twin in memory, and its commands."""
