"""What processes, a Redis and the machine say of themselves, read where it costs nothing: ``/proc``, ``INFO``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_KIB = 1_024
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_SECTOR_BYTES = 512  # the kernel's unit in every disk's ``stat``, whatever the disk's own is


@dataclass(frozen=True)
class Usage:
    """One process at one moment; memory is what is resident, in MB."""

    memory_mb: float
    handles: int
    threads: int
    cpu_seconds: float


@dataclass(frozen=True)
class Machine:
    """Counters since the machine's start, over all its cores and disks.

    Attributes:
        busy_seconds: of processors.
        stolen_seconds: of processors that the machine's host gave to others.
        written_mb: to disks.
    """

    busy_seconds: float
    stolen_seconds: float
    written_mb: float


@dataclass(frozen=True)
class RedisState:
    """A Redis at one moment.

    Attributes:
        memory_mb: used.
        keys: in all.
        rewriting: its append-only file is being rewritten, by a process of its own.
        fork_ms: how long the last start of such a process kept it from answering.
        delayed_fsyncs: how often a write waited for the disk, since its start.
    """

    memory_mb: float
    keys: int
    rewriting: bool = False
    fork_ms: float = 0.0
    delayed_fsyncs: int = 0


@dataclass(frozen=True)
class Sample:
    """Everything that is sampled at once; ``lag_records`` by stage."""

    seconds: float
    usage: dict[str, Usage]
    redis: RedisState
    lag_records: dict[str, int]
    machine: Machine


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


def read_machine() -> Machine:
    """Read the machine's counters; what it does not tell is 0."""
    # user, nice, system, idle, waiting for a disk, interrupts, soft interrupts, stolen
    ticks = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    disks = [folder for folder in Path("/sys/block").glob("*") if (folder / "device").exists()]
    sectors = sum(int((disk / "stat").read_text().split()[6]) for disk in disks)
    return Machine(
        busy_seconds=(sum(ticks[:3]) + sum(ticks[5:7])) / _TICKS_PER_SECOND,
        stolen_seconds=ticks[7] / _TICKS_PER_SECOND,
        written_mb=sectors * _SECTOR_BYTES / _KIB**2,
    )


def read_redis(client: Any) -> RedisState:
    """Read a Redis."""
    found = client.info("memory", "persistence", "stats")
    return RedisState(
        memory_mb=found["used_memory"] / _KIB**2,
        keys=int(client.dbsize()),
        rewriting=bool(found["aof_rewrite_in_progress"]),
        fork_ms=found["latest_fork_usec"] / 1_000,
        delayed_fsyncs=int(found["aof_delayed_fsync"]),
    )
