from __future__ import annotations

import logging

from weir.infra.kafka.clients import SAME_LINE_SECONDS, Sparing


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
