"""Windows, aggregates, state and de-duplication as pure functions: arrays in, arrays out, no I/O and no clock."""
