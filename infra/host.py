"""What this machine gives our process: room on disk, file descriptors, and a clock that agrees with the broker's."""

from __future__ import annotations

import resource
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from weir.infra.findings import Finding, Level
from weir.schemas.errors import Refused

FREE_MIN = 0.1
"""Part of a file system; below it somebody has to make room."""
FREE_LEFT = 0.02
"""Below it the next log segment or rewrite of Redis may not fit."""
DESCRIPTORS_MIN = 256
"""Three Kafka clients, Redis connections, the registry, the metrics page and their files take 60 to 120."""
_DESCRIPTORS_USED_MAX = 0.8
DESCRIPTORS_WANTED = 4_096
ADDRESS_BYTES_MIN = 3_000_000_000
"""Arrow, the compiled kernel and the threads of Kafka clients map 2.5 to 3 GB, and touch a fifth of it."""
CLOCK_SECONDS_MAX = 60.0
"""The broker's append time judges "from the future"; ages, back-offs and expiry in days bear a minute."""
_PROC_FILES = Path("/proc/self/fd")


def raise_limits() -> None:
    """Take as many file descriptors as this process may, and refuse a start on too few or on too little address space.

    Raises:
        Refused: with the command that gives more.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS_WANTED if hard == resource.RLIM_INFINITY else min(DESCRIPTORS_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    check_limits(descriptors=soft, address_bytes=resource.getrlimit(resource.RLIMIT_AS)[0])


def check_limits(*, descriptors: int, address_bytes: int) -> None:
    """Refuse limits under which a process would fail somewhere in the middle. Pure; a negative limit is none.

    Raises:
        Refused: with the command that gives more.
    """
    if 0 <= descriptors < DESCRIPTORS_MIN:
        raise Refused(
            f"expected at least {DESCRIPTORS_MIN} file descriptors, found {descriptors}; raise the limit with "
            "`ulimit -n 4096`, or LimitNOFILE= of its unit"
        )
    if 0 <= address_bytes < ADDRESS_BYTES_MIN:
        raise Refused(
            f"expected at least {ADDRESS_BYTES_MIN / 1e9:.1f} GB of address space, found {address_bytes / 1e9:.1f} GB; "
            "lift it with `ulimit -v unlimited`, and bound memory by a cgroup instead"
        )


@dataclass(frozen=True)
class Room:
    """One file system that we write to."""

    place: str
    path: Path
    free_bytes: int
    size_bytes: int

    @property
    def free(self) -> float:
        """Return which part of it is free."""
        return self.free_bytes / self.size_bytes if self.size_bytes else 0.0


def places(home: Path) -> dict[str, Path]:
    """Return the folders whose disk must not fill, by their name in metrics."""
    return {
        "home": home,
        "kafka": home / "servers" / "kafka",
        "redis": home / "servers" / "redis",
        "logs": home / "logs",
        "models": home / "models",
    }


def measure_rooms(folders: Mapping[str, Path]) -> list[Room]:
    """Return the room of each folder that exists; one that cannot be asked is left out."""
    found = []
    for place, path in folders.items():
        try:
            usage = shutil.disk_usage(path)
        except OSError:
            continue
        # what only root may use is no room for us
        found.append(Room(place, path, usage.free, usage.used + usage.free))
    return found


def judge_room(room: Room) -> Finding:
    """Say whether a folder's disk is filling up. Pure."""
    found = f"{room.free_bytes / 1024**2:,.0f} MiB ({room.free:.0%}) free for {room.place} at {room.path}"
    if room.free >= FREE_MIN:
        return Finding("disk", "ok", found)
    level: Level = "fail" if room.free < FREE_LEFT else "warn"
    return Finding("disk", level, found, f"see what takes the space with `du -xh -d2 {room.path} | sort -h`")


def judge_descriptors(used: int, limit: int) -> Finding:
    """Say whether the process may open enough files and connections. Pure."""
    found = f"{used} of {limit} file descriptors in use"
    nearly_out = used > limit * _DESCRIPTORS_USED_MAX
    if limit < DESCRIPTORS_MIN or nearly_out:
        return Finding(
            "descriptors",
            "fail" if nearly_out else "warn",
            f"expected a limit of at least {DESCRIPTORS_MIN} file descriptors and a fifth of it free, found {found}",
            "raise it with `ulimit -n 4096`, or LimitNOFILE= of its unit, and start again",
        )
    return Finding("descriptors", "ok", found)


def count_descriptors() -> tuple[int, int]:
    """Return how many file descriptors this process has open, and how many it may."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    used = sum(1 for _ in _PROC_FILES.iterdir()) if _PROC_FILES.is_dir() else 0
    return used, limit


def examine_host(home: Path) -> list[Finding]:
    """Return how this machine stands, for a process with this home."""
    rooms = [judge_room(room) for room in measure_rooms(places(home))]
    try:
        used, limit = count_descriptors()
    except OSError as error:
        return [*rooms, Finding("descriptors", "fail", f"none is left: {error.strerror}", "raise `ulimit -n`")]
    return [*rooms, judge_descriptors(used, limit)]


def judge_clock(*, looked_ms: int, now_ms: int, appended_ms: int | None) -> Finding:
    """Compare our clock with the broker's, by a record that it appended between two of our looks. Pure.

    ::

        ours      looked ----------------- now
        broker            ^ appended            between the two, or the clocks differ by what it is outside

    Args:
        looked_ms: our time at the check before, when the record was not there.
        now_ms: our time now, when it is.
        appended_ms: the broker's time on it; ``None`` when nothing was appended.
    """
    if appended_ms is None:
        return Finding("clock", "ok", "nothing was appended since the last check, so the clocks were not compared")
    ahead_ms = max(0, looked_ms - appended_ms) - max(0, appended_ms - now_ms)
    if abs(ahead_ms) <= CLOCK_SECONDS_MAX * 1_000:
        return Finding("clock", "ok", "our clock and the broker's agree")
    side = "ahead of" if ahead_ms > 0 else "behind"
    return Finding(
        "clock",
        "fail",
        f"expected our clock within {CLOCK_SECONDS_MAX:.0f} s of the broker's, found it {abs(ahead_ms) / 1_000:,.0f} s "
        f"{side} it",
        "set both by NTP: `timedatectl set-ntp true` on the machine that is wrong",
    )
