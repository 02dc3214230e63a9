"""Avro: schemas that others wrote, read with bounds; bodies to Arrow columns and back."""
