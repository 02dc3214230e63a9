"""``python -m tests.bench``: every figure of ``docs/results/bench.md``, measured on servers of its own.

In reading order: ``sizes`` (how much of what), ``figures`` (the keys, their targets and their verdicts, pure),
``rounds`` (who runs when), ``lab`` (servers and processes), then one module per kind of scenario. Programs that run as
a process of their own (the plain loop, the peers, the watcher) are modules with a ``main``.
"""
