"""What a request's query asks of past decisions: the filters of live ones, a time, a page."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from weir.inference.api.filters import describe_filters, parse_filters
from weir.inference.api.request import BadRequest, FieldError
from weir.schemas.request_id import FORM, is_request_id
from weir.schemas.search import CURSOR, DAYS, DAYS_MAX, LIMIT, LIMIT_MAX, MS_MAX, Place, Search, read_cursor
from weir.schemas.stream import Stream

FROM, TO, SIZE, AFTER, OF_DAYS, REQUEST_ID = "from", "to", "limit", "after", "days", "request_id"
_OWN = frozenset({FROM, TO, SIZE, AFTER, REQUEST_ID})


def parse_search(stream: Stream, given: Iterable[tuple[str, str]]) -> Search:
    """Return what a query asks for.

    Args:
        stream: whose decisions they are. An entity that has the name of one of our own parameters is not asked for.
        given: names and values.

    Raises:
        BadRequest: a value is wrong, or a name is.
    """
    pairs = [*given]
    own = _read_once([pair for pair in pairs if pair[0] in _OWN])
    wanted = parse_filters(stream, [pair for pair in pairs if pair[0] not in _OWN], more=sorted(_OWN))
    first_ms, end_ms = _read_number(own, FROM, 0, (0, MS_MAX)), _read_number(own, TO, MS_MAX, (0, MS_MAX))
    if first_ms >= end_ms:
        raise BadRequest([FieldError(TO, f"expected a time after `{FROM}`, found one that is not")])
    limit = _read_number(own, SIZE, LIMIT, (1, LIMIT_MAX))
    return Search(wanted, first_ms, end_ms, limit, _read_after(own), _read_request_id(own))


def parse_days(given: Iterable[tuple[str, str]]) -> int:
    """Return how many days a query asks for; raises as ``parse_search``."""
    pairs = [*given]
    if any(name != OF_DAYS for name, _ in pairs):
        raise BadRequest([FieldError("query", f"expected {OF_DAYS} alone, found another name")])
    return _read_number(_read_once(pairs), OF_DAYS, DAYS, (1, DAYS_MAX))


def _read_once(pairs: list[tuple[str, str]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise BadRequest([FieldError(name, "expected one value, found several")])
        found[name] = value
    return found


def _read_number(own: dict[str, str], name: str, default: int, bounds: tuple[int, int]) -> int:
    text, digits_max = own.get(name), len(str(MS_MAX))
    if text is None:
        return default
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= digits_max else -1
    if not bounds[0] <= number <= bounds[1]:
        what = "UTC epoch milliseconds" if name in {FROM, TO} else f"a whole number from {bounds[0]} to {bounds[1]}"
        raise BadRequest([FieldError(name, f"expected {what}, found something else")])
    return number


def _read_after(own: dict[str, str]) -> Place | None:
    if AFTER not in own:
        return None
    place = read_cursor(own[AFTER])
    if place is None:
        raise BadRequest([FieldError(AFTER, "expected `next` of the page before, found another text")])
    return place


def _read_request_id(own: dict[str, str]) -> str | None:
    request_id = own.get(REQUEST_ID)
    if request_id is not None and not is_request_id(request_id):
        form = "1 to 64 letters, digits and `.`, `_`, `~` or `-`, and no card number"
        raise BadRequest([FieldError(REQUEST_ID, f"expected the id of a request: {form}; found another text")])
    return request_id


def describe_search(stream: Stream) -> list[dict[str, Any]]:
    """Return the OpenAPI parameters."""
    time = {"type": "integer", "format": "int64", "minimum": 0, "maximum": MS_MAX}
    return [
        *(each for each in describe_filters(stream) if each["name"] not in _OWN),
        _describe(FROM, time, "The oldest append time, UTC epoch milliseconds."),
        _describe(TO, time, "The first append time that is too new."),
        _describe(REQUEST_ID, {"type": "string", "pattern": f"^{FORM}$"}, "Of the request that published the event."),
        _describe(SIZE, _number(LIMIT, LIMIT_MAX), "How many decisions at most."),
        _describe(AFTER, {"type": "string", "pattern": f"^{CURSOR}$"}, "`next` of the page before."),
    ]


def describe_days() -> list[dict[str, Any]]:
    """Return the OpenAPI parameters."""
    return [_describe(OF_DAYS, _number(DAYS, DAYS_MAX), "How many UTC days, up to the newest that is archived.")]


def _number(default: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": 1, "maximum": most, "default": default}


def _describe(name: str, schema: dict[str, Any], description: str) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}
