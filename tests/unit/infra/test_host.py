"""Room, file descriptors and clocks, judged without a machine that lacks them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weir.infra.host import (
    ADDRESS_BYTES_MIN,
    CLOCK_SECONDS_MAX,
    DESCRIPTORS_MIN,
    Room,
    check_limits,
    examine_host,
    judge_clock,
    judge_descriptors,
    judge_room,
    measure_rooms,
)
from weir.schemas.errors import Refused

BOUND_MS = int(CLOCK_SECONDS_MAX * 1_000)


@pytest.mark.parametrize(("free", "level"), [(50, "ok"), (10, "ok"), (9, "warn"), (2, "warn"), (1, "fail")])
def test_a_disk_warns_before_it_is_full(free: int, level: str) -> None:
    finding = judge_room(Room("home", Path("/x"), free, 100))
    assert finding.level == level
    assert bool(finding.fix) == (level != "ok")
    assert "make clean" not in finding.fix


def test_a_folder_that_is_not_there_has_no_room_to_report(tmp_path: Path) -> None:
    assert [room.place for room in measure_rooms({"home": tmp_path, "models": tmp_path / "none"})] == ["home"]


@pytest.mark.parametrize(
    ("used", "limit", "level"), [(60, 1024, "ok"), (900, 1024, "fail"), (60, 128, "warn"), (127, 128, "fail")]
)
def test_file_descriptors_warn_where_few_are_allowed_and_fail_where_few_are_left(
    used: int, limit: int, level: str
) -> None:
    assert judge_descriptors(used, limit).level == level


def test_this_machine_can_be_looked_at(tmp_path: Path) -> None:
    assert {finding.check for finding in examine_host(tmp_path)} == {"disk", "descriptors"}


@given(
    looked_ms=st.integers(0, 10**13),
    waited_ms=st.integers(0, 20_000),
    appended_after_ms=st.integers(0, 20_000),
    ahead_ms=st.integers(-(10**9), 10**9),
)
def test_clocks_that_agree_are_never_accused_and_those_that_do_not_always_are(
    looked_ms: int, waited_ms: int, appended_after_ms: int, ahead_ms: int
) -> None:
    """The record is appended somewhere between the looks; the broker's clock shows ``ahead_ms`` less than ours."""
    now_ms = looked_ms + waited_ms
    appended_ms = looked_ms + min(appended_after_ms, waited_ms) - ahead_ms
    finding = judge_clock(looked_ms=looked_ms, now_ms=now_ms, appended_ms=appended_ms)
    if abs(ahead_ms) <= BOUND_MS:
        assert finding.well
    if abs(ahead_ms) > BOUND_MS + waited_ms:
        assert finding.level == "fail"
        assert ("ahead of" if ahead_ms > 0 else "behind") in finding.found


def test_nothing_appended_says_nothing_of_the_clocks() -> None:
    assert judge_clock(looked_ms=0, now_ms=1, appended_ms=None).well


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"descriptors": 64, "address_bytes": -1}, "ulimit -n"),
        ({"descriptors": 4_096, "address_bytes": 1_500_000_000}, "ulimit -v unlimited"),
    ],
)
def test_limits_too_small_to_run_under_refuse_the_start(limits: dict[str, int], words: str) -> None:
    with pytest.raises(Refused, match=words):
        check_limits(**limits)


def test_no_limits_and_wide_ones_are_in_order() -> None:
    check_limits(descriptors=-1, address_bytes=-1)
    check_limits(descriptors=DESCRIPTORS_MIN, address_bytes=ADDRESS_BYTES_MIN)
