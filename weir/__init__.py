"""Weir: streaming fraud and risk scoring on Kafka and Redis, exactly once."""
