"""The catalogue of metrics and the structured log format that every process uses. Imports nothing of ours."""
