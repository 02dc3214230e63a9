"""What a running process looks at every few seconds, and what it does about what it finds."""
