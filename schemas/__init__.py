"""Contracts: Avro schemas, the batch codec, feature declarations and error classes. Imports nothing of ours."""
