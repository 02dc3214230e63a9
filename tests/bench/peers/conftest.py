"""Keeps doctest collection out: each program here runs in an environment of its own, with packages that ours lacks."""

collect_ignore_glob = ["*.py"]
