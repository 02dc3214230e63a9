"""The past of an entity: windows, events and decisions, replayed from archived records and compared with the log."""
