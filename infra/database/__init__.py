"""The database of what people do: keys now. No decision ever waits for it."""
