"""What ``weir dlq`` refuses before it asks a broker anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from weir.schemas.errors import Refused
from weir.streaming.dlq import cli as dlq_cli


@pytest.fixture(autouse=True)
def _no_stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))


@pytest.mark.parametrize("verb", ["list", "show", "stats", "replay", "discard"])
def test_an_offset_without_its_partition_is_refused(verb: str) -> None:
    with pytest.raises(Refused, match="--partition"):
        dlq_cli.main(["dlq", verb, "--offset", "3"])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["purge"],
        ["list", "--from", "yesterday"],
        ["list", "--apply"],
        ["replay", "--set", "a=1", "--hook", "x.py:f"],
        ["replay", "--app"],
    ],
)
def test_misuse_ends_with_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        dlq_cli.main(["dlq", *arguments])
    assert ended.value.code == 2


def test_a_hook_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="--hook"):
        dlq_cli.main(["dlq", "replay", "--hook", "missing.py:mend"])


@pytest.mark.parametrize(
    ("text", "time_ms"),
    [
        ("1700000000000", 1_700_000_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000_000),
        ("2023-11-14", 1_699_920_000_000),
    ],
)
def test_times_are_epoch_ms_or_iso_8601_in_utc_unless_they_say_otherwise(text: str, time_ms: int) -> None:
    assert dlq_cli._time_ms(text) == time_ms
