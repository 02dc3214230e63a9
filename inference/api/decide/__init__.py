"""A decision while the client waits: publish an event, answer with what the stream itself recorded about it."""
