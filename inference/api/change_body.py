"""What requests for changes say: small JSON objects, and who asks. Pure."""

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
