"""What Feast finds here: the views of the project's streams. ``docs/feast.md`` says where to copy it."""

from pathlib import Path

from weir.archive.feast.definitions import define_all

globals().update(define_all(Path(__file__).parent))  # Feast takes what a module holds
