"""What the first release that may not change any more computed from a fixed log, kept byte for byte.

``log.py`` writes the log and imports nothing of the product. ``product.py`` is the one file that drives the product:
when its parts move, that file follows, and ``expected/`` stays.
"""
