"""The only clients of Kafka: reading, writing, asking, and the topics' own rules."""
