"""Structured logs: one line per event on stderr, as JSON or for a terminal, and never a card number.

A line has ``time``, ``level``, ``service``, ``event``, then the fields; lines about one record carry its
``correlation_id``, the coordinates ``<topic>-<partition>-<offset>`` of the source transaction, which follow it from
topic to topic; lines about one request to the API carry its ``request_id``. Every line, those of libraries and
tracebacks included, passes ``mask_card_numbers``.

The mask is a net below a rule, not the rule: code never logs a card number or a card_id in the first place.
"""

from __future__ import annotations

import logging
import math
import re
import sys
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

from weir.monitoring.request_id import REQUEST_ID
from weir.schemas.printable import escape, to_json

_FIELDS = "weir_fields"
_CHATTY = ("httpx", "httpcore")  # a line at info level for each request
# a run of 12 to 19 digits, or the groups of four (or 4-6-5) that people print on cards; ASCII digits alone
_CARD = re.compile(
    r"(?<![0-9])(?:[0-9]{12,19}"
    r"|[0-9]{4}(?:[ -][0-9]{4}){2,3}(?:[ -][0-9]{1,3})?"
    r"|[0-9]{4}[ -][0-9]{6}[ -][0-9]{5})(?![0-9])"
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def is_card_number(digits: str) -> bool:
    """Tell whether a string is 12 to 19 ASCII digits whose Luhn check digit is right."""
    if not (12 <= len(digits) <= 19 and digits.isascii() and digits.isdigit()):
        return False
    values = [ord(character) - 48 for character in reversed(digits)]
    return (sum(values[0::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


def mask_card_numbers(text: str) -> str:
    """Replace all but the last four digits of every card number in a text by asterisks."""
    return _CARD.sub(_mask_match, text)


def _mask_match(match: re.Match[str]) -> str:
    found = match.group()
    digits = found.replace(" ", "").replace("-", "")
    return "*" * (len(digits) - 4) + digits[-4:] if is_card_number(digits) else found


def _clean(value: Any, name: str = "") -> Any:
    """Return a JSON-ready copy without card numbers.

    An integer named ``*_ms`` is left alone: one epoch time in ten passes the Luhn check, and no time is a card.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return _clean_float(value)
    if isinstance(value, int):
        masked = str(value) if name.endswith("_ms") else mask_card_numbers(str(value))
        return value if masked == str(value) else masked
    if isinstance(value, dict):
        return {mask_card_numbers(str(key)): _clean(item, str(key)) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, name) for item in value]
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    return mask_card_numbers(str(value))


def _clean_float(value: float) -> Any:
    if not math.isfinite(value):
        return str(value)  # NaN is no JSON
    return mask_card_numbers(str(int(value))) if value.is_integer() and is_card_number(str(abs(int(value)))) else value


class _Formatter(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def _record(self, record: logging.LogRecord) -> dict[str, Any]:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": self._service,
            "event": mask_card_numbers(record.getMessage()),
            "logger": record.name,
        }
        fields: dict[str, Any] = getattr(record, _FIELDS, {})
        # a field may not replace what identifies the line
        line |= {name: _clean(value, name) for name, value in fields.items() if name not in line}
        if record.exc_info and record.exc_info[0] is not None:
            line["exception"] = mask_card_numbers(self.formatException(record.exc_info))
        return line


class JsonFormatter(_Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        return to_json(self._record(record))


class ConsoleFormatter(_Formatter):
    """One line per event for people; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its newline."""
        line = self._record(record)
        head = f"{line.pop('time')} {line.pop('level'):<7} {line.pop('service')} {escape(line.pop('event'))}"
        line.pop("logger")
        exception = line.pop("exception", None)
        tail = "".join(f" {name}={_quoted(value)}" for name, value in line.items())
        # indented, so that a line of a message that came from outside cannot pass for one of ours
        trace = "".join(f"\n    {escape(part)}" for part in exception.split("\n")) if exception else ""
        return f"{head}{tail}{trace}"


def _quoted(value: Any) -> str:
    text = value if isinstance(value, str) else to_json(value)
    return escape(text) if text and " " not in text and escape(text) == text else to_json(text)


class Logger:
    """A named logger whose fields are keywords; ``bind`` returns one that adds fields to each of its lines."""

    def __init__(self, logger: logging.Logger, bound: dict[str, Any] | None = None) -> None:
        self._logger = logger
        self._bound = bound or {}

    def bind(self, **fields: Any) -> Logger:
        """Return a logger that adds these fields to each line."""
        return Logger(self._logger, self._bound | fields)

    def debug(self, event: str, /, **fields: Any) -> None:
        """Log what helps to follow a program step by step."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, /, **fields: Any) -> None:
        """Log what an operator wants to know when nothing is wrong."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, /, **fields: Any) -> None:
        """Log what needs nobody but should be known."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, /, **fields: Any) -> None:
        """Log what somebody must fix."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, /, **fields: Any) -> None:
        """Log an error with the traceback of the exception being handled."""
        self._log(logging.ERROR, event, fields, exc_info=True)

    def _log(self, level: int, event: str, fields: dict[str, Any], *, exc_info: bool = False) -> None:
        if self._logger.isEnabledFor(level):
            request_id = REQUEST_ID.get()
            asked = {"request_id": request_id} if request_id else {}
            # the event is a message without arguments: a % in it stays as it is
            self._logger.log(level, event, extra={_FIELDS: asked | self._bound | fields}, exc_info=exc_info)


def correlation_id(topic: str, partition: int, offset: int) -> str:
    """Return what names one source transaction in every log line about it: ``transactions-3-10452``."""
    return f"{topic}-{partition}-{offset}"


def get_logger(name: str) -> Logger:
    """Return the structured logger of that name, usually ``__name__``."""
    return Logger(logging.getLogger(name))


def configure(
    level: str = "info",
    fmt: Literal["json", "console"] = "json",
    service: str = "weir",
    *,
    stream: TextIO | None = None,
) -> None:
    """Send every log line of this process, those of libraries too, to one stream in one format.

    Args:
        level: least level written: debug, info, warning or error.
        fmt: ``json`` for machines, ``console`` for a terminal.
        service: name of this process in each line, such as ``process-0``.
        stream: where to write; stderr by default.
    """
    handler = logging.StreamHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(JsonFormatter(service) if fmt == "json" else ConsoleFormatter(service))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
