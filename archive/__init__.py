"""The archive: every record of a stream's topics in Delta Lake tables, and the proof that none of them was altered."""
