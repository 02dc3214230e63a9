"""Real servers without Docker or root: Apache Kafka, Redis or Valkey, and a schema registry, on 127.0.0.1."""
