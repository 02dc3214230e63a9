"""What a process and a Redis say of themselves, read where it costs them nothing: ``/proc`` and ``INFO``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KIB = 1_024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """One process at one moment; memory is what is resident, in MB."""

    memory_mb: float
    handles: int
    threads: int
    cpu_seconds: float


@dataclass(frozen=True)
class Sample:
    """Everything that is sampled at once; ``lag_records`` by stage, Redis memory in MB."""

    seconds: float
    usage: dict[str, Usage]
    redis_mb: float
    redis_keys: int
    lag_records: dict[str, int]


def read_usage(pid: int) -> Usage:
    """Read a process.

    Raises:
        FileNotFoundError: it is gone.
    """
    folder = Path("/proc") / str(pid)
    # fields are counted from behind the command's name, which may hold blanks
    fields = (folder / "stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return Usage(
        memory_mb=int(fields[21]) * _PAGE_BYTES / _KIB**2,
        handles=sum(1 for _ in (folder / "fd").iterdir()),
        threads=int(fields[17]),
        cpu_seconds=ticks / _TICKS_PER_SECOND,
    )


def read_redis(client: Any) -> tuple[float, int]:
    """Return used memory in MB and the number of keys."""
    return client.info("memory")["used_memory"] / _KIB**2, int(client.dbsize())
