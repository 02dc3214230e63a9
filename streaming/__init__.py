"""Stream processing: the exactly-once processor, its dead letters and replay. Pure parts live in ``streaming/core``."""
