"""Training: replays history through the stream's own kernel, fits models, exports bundles."""
