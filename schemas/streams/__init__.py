"""The streams that are shipped, each one file of declarations and the Avro files of its records."""
