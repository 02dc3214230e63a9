from __future__ import annotations

import json
import logging

import pytest

from weir.infra.kafka.clients import CLIENT_LOG, SAME_LINE_SECONDS, Sparing
from weir.monitoring.logs import configure


def _line(text: str) -> logging.LogRecord:
    return logging.LogRecord("librdkafka", logging.ERROR, "", 0, text, None, None)


def test_lines_that_differ_in_numbers_alone_are_one_line_in_a_while() -> None:
    now = [0.0]
    sparing = Sparing(lambda: now[0])
    assert sparing.filter(_line("connect to broker 1 failed after 0 ms"))
    assert not sparing.filter(_line("connect to broker 2 failed after 17 ms"))
    assert sparing.filter(_line("disconnected"))
    now[0] = SAME_LINE_SECONDS
    assert sparing.filter(_line("connect to broker 1 failed after 0 ms"))


def test_a_command_that_configures_no_log_prints_no_line_of_the_client(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    CLIENT_LOG.error("FAIL [rdkafka#consumer-1] Connection refused")
    assert capsys.readouterr() == ("", "")
    configure("info", "json", "score")
    CLIENT_LOG.error("FAIL [rdkafka#consumer-2] Broker is away")
    assert json.loads(capsys.readouterr().err)["event"] == "FAIL [rdkafka#consumer-2] Broker is away"
