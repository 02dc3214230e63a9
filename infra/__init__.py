"""Settings, the only clients of Kafka, Redis and the schema registry, and the embedded servers."""
