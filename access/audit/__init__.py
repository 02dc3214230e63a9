"""Who called the API, for what, and what came of it."""
