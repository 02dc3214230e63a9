"""A home that the release before made, started on this code, and on that code again."""
