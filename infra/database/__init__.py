"""The database of what people do: keys and cases. No decision ever waits for it."""
