"""Features over an archive: backfilled, compared, and put in force one after the other."""
