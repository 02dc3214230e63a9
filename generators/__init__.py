"""A seeded simulator of card payments and fraud, and the producers that publish it or the user's own files."""
