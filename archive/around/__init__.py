"""What an archive holds around one event: whom it shares ids with, and what is normal for its key."""
