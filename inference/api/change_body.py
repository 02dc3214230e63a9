"""What requests for changes say: small JSON objects, and who asks; and what the document shows of that. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir.cases.words import check_text
from weir.inference.api.body import NotJson, name_type, read_object
from weir.inference.api.request import BadRequest, FieldError
from weir.schemas.errors import Refused

BY = "by"
BY_CHARACTERS_MAX = 80
"""As many as the name of a key has."""
BY_SHOWN: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": BY_CHARACTERS_MAX,
    "description": "Who asks for it.",
}
_JSON = "application/json"


def show_who_asks(document: dict[str, Any], *, keyed: bool) -> None:
    """Have the document ask for ``by`` where no key says who asks, and leave it out where one does."""
    for operation in (each for operations in document["paths"].values() for each in operations.values()):
        shown = operation.get("requestBody", {}).get("content", {}).get(_JSON)
        if shown is not None and shown["schema"].get("properties", {}).get(BY) == BY_SHOWN:
            kept = _leave_out(shown) if keyed else _require(shown)
            operation["requestBody"] = operation["requestBody"] | {"content": {_JSON: kept}}


def _leave_out(shown: dict[str, Any]) -> dict[str, Any]:
    schema = shown["schema"]
    properties = {name: kind for name, kind in schema["properties"].items() if name != BY}
    example = {name: value for name, value in shown["example"].items() if name != BY}
    return shown | {"schema": schema | {"properties": properties}, "example": example}


def _require(shown: dict[str, Any]) -> dict[str, Any]:
    return shown | {"schema": shown["schema"] | {"required": [BY, *shown["schema"].get("required", ())]}}


def read_body(body: bytes, *fields: str, keyed_as: str | None) -> dict[str, Any]:
    """Read a request for a change; who asks is in the result as ``by``.

    Args:
        body: JSON; nothing stands for an object without fields.
        *fields: that may be in it.
        keyed_as: name of the key that asks; without keys the body says who does.

    Raises:
        BadRequest: naming every field that is wrong.
        UnknownEncoding: it is not plain UTF-8.
    """
    try:
        document = read_object(body) if body.strip() else {}
    except NotJson as error:
        raise BadRequest([FieldError("$", str(error))]) from None
    known = {*fields, *([BY] if keyed_as is None else [])}
    if unknown := set(document) - known:
        allowed = ", ".join(sorted(known)) or "none"
        raise BadRequest([FieldError("$", f"expected fields of {allowed}; found {len(unknown)} other(s)")])
    return {**document, BY: _read_by(document) if keyed_as is None else keyed_as}


def read_text(document: Mapping[str, Any], name: str) -> str:
    """Return a text that somebody wrote.

    Raises:
        BadRequest: it is missing, or not one that may be kept.
    """
    text = document.get(name)
    if not isinstance(text, str):
        found = "nothing" if name not in document else name_type(text)
        raise BadRequest([FieldError(name, f"expected a string, found {found}")])
    try:
        return check_text(text, name)
    except Refused as error:
        raise BadRequest([FieldError(name, str(error).removeprefix(f"{name}: "))]) from None


def read_flag(document: Mapping[str, Any], name: str) -> bool:
    """Return a flag, which is false where it is not named.

    Raises:
        BadRequest: it is neither true nor false.
    """
    given = document.get(name, False)
    if not isinstance(given, bool):
        raise BadRequest([FieldError(name, f"expected true or false, found {name_type(given)}")])
    return given


def _read_by(document: Mapping[str, Any]) -> str:
    by = read_text(document, BY)
    if len(by) > BY_CHARACTERS_MAX or "\n" in by:
        raise BadRequest([FieldError(BY, f"expected one line of at most {BY_CHARACTERS_MAX} characters")])
    return by
