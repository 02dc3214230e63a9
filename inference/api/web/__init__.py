"""HTTP itself: connections and their bounds, errors in one shape, pages for people. What is asked is elsewhere."""
