"""``weir backup`` and ``weir restore``: cases, keys and the audit log in one file, and back. See docs/backup.md."""
