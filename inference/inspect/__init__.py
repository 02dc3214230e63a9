"""``weir inspect``: what the system knows now. Read only."""
