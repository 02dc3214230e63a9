"""``weir demo``: run everything for a while and show it live."""
