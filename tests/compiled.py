"""What the first tests would wait for, made while they are collected: ``python -m tests.compiled``.

In a fresh clone one process compiles the shipped kernel, and each process of tests waits for that and loads it. On a
fresh machine it fetches the servers too, which each process of tests would fetch for itself.
"""

from __future__ import annotations

from contextlib import suppress
from threading import Thread
from typing import Any

from weir.infra.embedded.artifacts import ensure_kafka_jars, ensure_registry
from weir.schemas.errors import WeirError
from weir.streaming.compiling import compile_kernel
from weir.streaming.kernels import shipped_kernel


def load_kernel() -> None:
    """Return when the kernel is compiled and loaded."""
    compile_kernel(shipped_kernel(), tell=_tell_nobody)


def _fetch_servers() -> None:
    with suppress(WeirError):  # the first test that starts them says what is wrong
        ensure_kafka_jars(_tell_nobody)
        ensure_registry(_tell_nobody)


def _tell_nobody(*_: Any, **__: Any) -> None:
    pass


if __name__ == "__main__":
    fetching = Thread(target=_fetch_servers)
    fetching.start()
    load_kernel()
    fetching.join()
