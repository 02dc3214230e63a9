"""Published protocols and our own, run through the stream's kernel, so that figures can be compared."""
