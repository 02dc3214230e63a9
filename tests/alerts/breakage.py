"""Ways to break what runs, and to put it right again."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from confluent_kafka import Producer

from weir.infra.kafka.clients import build_producer
from weir.infra.redis.client import connect
from weir.infra.settings import Settings

DISK_BYTES = 32 * 1024**2
_SHARED_MEMORY = Path("/dev/shm")
_SHARED_BYTES_MAX = 256 * 1024**2
_JUNK_BYTES = 100_000
_OPEN_MS = 600_000


@contextmanager
def small_disk() -> Iterator[Path]:
    """Lend a folder on a file system small enough to fill.

    A tmpfs of our own where we may mount one, else the shared memory of a container, which is as small.
    """
    folder = Path(tempfile.mkdtemp(prefix="weir-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "weir-test", str(folder)], capture_output=True, check=False
    )
    try:
        if mounted.returncode == 0:
            yield folder
            return
        size = shutil.disk_usage(_SHARED_MEMORY).total
        assert size <= _SHARED_BYTES_MAX, f"no tmpfs may be mounted ({mounted.stderr!r}), and {_SHARED_MEMORY} is large"
        with tempfile.TemporaryDirectory(dir=_SHARED_MEMORY) as shared:
            yield Path(shared)
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def fill(folder: Path, *, leave: float) -> Path:
    """Fill a folder's disk until this part of it is free; delete the file that is returned to free it again."""
    usage = shutil.disk_usage(folder)
    path = folder / "ballast"
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, int(usage.free - usage.total * leave))
    return path


class Repeating:
    """Does something again and again in a thread until it is stopped."""

    def __init__(self, act: Callable[[], object], *, every_seconds: float) -> None:
        self._stop = threading.Event()
        self._act = act
        self._every_seconds = every_seconds
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(self._every_seconds):
            with suppress(Exception):  # what is broken answers with errors
                self._act()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(10)


class OpenTransaction:
    """Another producer's transaction that stays open: nobody reads past it in its partition."""

    def __init__(self, settings: Settings, topic: str, partition: int) -> None:
        self._producer: Producer = build_producer(
            settings.kafka, transactional_id="a-stranger", transaction_timeout_ms=_OPEN_MS
        )
        self._producer.init_transactions(30)
        self._producer.begin_transaction()
        self._producer.produce(topic, value=b"never committed", partition=partition)
        self._producer.flush(30)

    def end(self) -> None:
        self._producer.abort_transaction(30)


def keep_writing(settings: Settings, topic: str, partitions: int) -> Repeating:
    """Write records to each partition; nobody can decode them, so each becomes a dead letter."""
    producer = build_producer(settings.kafka, linger_ms=0)

    def write() -> None:
        for partition in range(partitions):
            producer.produce(topic, key=b"k", value=b"noise", partition=partition)
        producer.flush(5)

    return Repeating(write, every_seconds=1.0)


class EvictingRedis:
    """A Redis that somebody let evict, under pressure."""

    def __init__(self, settings: Settings) -> None:
        self._client: Any = connect(settings.redis)
        used = int(self._client.info("memory")["used_memory"])
        self._client.config_set("maxmemory-policy", "allkeys-lru")
        self._client.config_set("maxmemory", used + 10 * _JUNK_BYTES)
        self._numbers = iter(range(10**9))
        self._pressure = Repeating(self._push, every_seconds=0.2)

    def _push(self) -> None:
        self._client.set(f"junk:{next(self._numbers)}", b"x" * _JUNK_BYTES)

    def end(self) -> None:
        self._pressure.stop()
        self._client.config_set("maxmemory-policy", "noeviction")
        self._client.config_set("maxmemory", 0)
        for key in self._client.scan_iter("junk:*"):
            self._client.delete(key)
