"""What requests on cases say of the case. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir.cases.case import Verdict
from weir.inference.api.body import name_type
from weir.inference.api.ids import check_id
from weir.inference.api.request import BadRequest, FieldError


def read_event_id(document: Mapping[str, Any], field: str) -> str:
    """Return the id of an event.

    Args:
        document: the request.
        field: what the stream calls it.

    Raises:
        BadRequest: there is none, or a card number.
    """
    given = document.get(field)
    if not isinstance(given, str):
        found = "nothing" if field not in document else name_type(given)
        raise BadRequest([FieldError(field, f"expected a string, found {found}")])
    check_id(given, of_card=False, field=field)
    return given


def read_verdict(document: Mapping[str, Any]) -> Verdict:
    """Return the verdict.

    Raises:
        BadRequest: there is none, or it is another word.
    """
    given = document.get("verdict")
    known = [str(verdict) for verdict in Verdict]
    if given not in known:
        found = "nothing" if given is None else "another string" if isinstance(given, str) else name_type(given)
        raise BadRequest([FieldError("verdict", f"expected one of {', '.join(known)}; found {found}")])
    return Verdict(given)
