"""Changes of the tables, in order: Alembic runs each once in each database."""
