"""What requests on cases say of the case. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from weir.cases.case import Verdict
from weir.inference.api.body import name_type
from weir.inference.api.request import BadRequest, FieldError


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
