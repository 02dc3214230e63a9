"""Paths of lists: what is in force with its history, adding and taking out entries, and taking a version back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Query
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.body import name_type
from weir.inference.api.change_body import BY
from weir.inference.api.error_document import Responses, error_answers
from weir.inference.api.ids import check_id
from weir.inference.api.lists import document
from weir.inference.api.ports import ListsSource
from weir.inference.api.proposals.route import ProposalsPaths
from weir.inference.api.published_paths import AWAY, PublishedPaths, VersionQuery, read_force, read_line
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.rules.document import TAKEN_BACK, TAKEN_BACK_SHOWN, VERSION_CHARACTERS_MAX, WHY_CHARACTERS_MAX
from weir.inference.core.lists import SIDES, TEXT_MAX, Note
from weir.inference.published.lists_change import LISTS_ACTIONS
from weir.inference.published.lists_desk import CHANGED_MAX, SHOWN_MAX
from weir.schemas.records.validation import ID_BYTES_MAX
from weir.schemas.stream import Stream

LIMIT = 100
_Begins = Annotated[
    str, Query(json_schema_extra={"maxLength": ID_BYTES_MAX}, description="what the entries begin with")
]
_Limit = Annotated[int, Query(ge=1, le=SHOWN_MAX)]


class ListsPaths(PublishedPaths):
    """The paths of one stream's lists."""

    def __init__(self, lists: ListsSource, stream: Stream) -> None:
        """Bind to the lists of a stream."""
        super().__init__("lists", "lists_not_passed")
        self._lists = lists
        self._of_proposals = ProposalsPaths("lists", "lists_not_passed", lists.proposals)
        self._stream = stream
        self._entities = tuple(stream.id_field_of)

    def add(self, router: APIRouter, path: str) -> None:
        """Add the paths, all of which begin with one."""
        self._add_show(router, path)
        self._of_proposals.add(router, path)
        shown: Responses = {
            200: examples.answer("it is published", document.DONE, document.DONE_SHOWN),
            202: examples.answer("it is still being tried: ask again", document.DONE, document.TRYING_SHOWN),
        }
        body, summary = document.build_change(self._stream), "Add entries to a list, or take them out"
        self._add_change(router, f"{path}/change", self._change, body, (shown, ("lists_not_passed",)), summary)
        shown = {200: examples.answer("it is in force", TAKEN_BACK, TAKEN_BACK_SHOWN)}
        codes, summary = ("unknown_version",), "Put a version of the lists in force again"
        self._add_change(router, f"{path}/rollback", self._roll_back, document.ROLLBACK_BODY, (shown, codes), summary)

    def _add_show(self, router: APIRouter, path: str) -> None:
        sides, entities = ["", *SIDES], ["", *self._entities]
        # shown in the document and not enforced by the framework, whose answer would be another than ours
        of_side: Any = Query(json_schema_extra={"enum": sides}, description="of this list; of all without it")
        of_entity: Any = Query(json_schema_extra={"enum": entities}, description="likewise")

        async def get_lists(
            side: str = "", entity: str = "", begins: str = "", limit: int = LIMIT, version: str = ""
        ) -> Response:
            _check_choice("side", side, sides)
            _check_choice("entity", entity, entities)
            if begins:
                check_id(begins, of_card=False, field="begins")
            return await self._answer(partial(self._lists.show, side, entity, begins, limit, version))

        get_lists.__annotations__ = {
            "side": Annotated[str, of_side],
            "entity": Annotated[str, of_entity],
            "begins": _Begins,
            "limit": _Limit,
            "version": VersionQuery,
            "return": Response,
        }
        router.get(
            path,
            responses={
                200: examples.answer(
                    "the lists in force, or of a version, with the first entries that fit",
                    document.LISTS,
                    document.build_shown(self._stream),
                ),
                **error_answers("unknown_version", "invalid_request", *AWAY),
            },
            summary="The lists with their history",
            openapi_extra=needs(Scope.READ),
        )(get_lists)

    def _change(self, given: dict[str, Any]) -> dict[str, Any]:
        for name, allowed in (("action", LISTS_ACTIONS), ("side", SIDES), ("entity", self._entities)):
            _check_choice(name, given.get(name), allowed)
        check_added = partial(check_id, of_card=self._stream.entity(given["entity"]).card_tokens)
        return self._lists.change(
            given["action"],
            given["side"],
            given["entity"],
            # a card number that was added on the command line is taken out by its digits
            _read_entries(given, check_added if given["action"] == "add" else _check_removed),
            Note(_read_text(given, "reason"), _read_text(given, "source"), _read_until(given)),
            who=given[BY],
            why=read_line(given, "why", WHY_CHARACTERS_MAX),
            force=read_force(given),
        )

    def _roll_back(self, given: dict[str, Any]) -> dict[str, Any]:
        version = read_line(given, "version", VERSION_CHARACTERS_MAX)
        return self._lists.roll_back(version, who=given[BY], why=read_line(given, "why", WHY_CHARACTERS_MAX))


def _check_choice(name: str, given: object, allowed: Any) -> None:
    if not isinstance(given, str) or given not in allowed:
        raise BadRequest([FieldError(name, f"expected one of {', '.join(filter(None, allowed))}")])


def _read_entries(given: Mapping[str, Any], check: Callable[..., None]) -> list[str]:
    entries = given.get("entries")
    if not isinstance(entries, list):
        raise BadRequest([FieldError("entries", f"expected an array, found {name_type(entries)}")])
    if not 0 < len(entries) <= CHANGED_MAX:
        raise BadRequest([FieldError("entries", f"expected 1 to {CHANGED_MAX:,} entries, found {len(entries):,}")])
    for place, entry in enumerate(entries):
        if not isinstance(entry, str):
            raise BadRequest([FieldError(f"entries[{place}]", f"expected a string, found {name_type(entry)}")])
        check(entry, field=f"entries[{place}]")
    return entries


def _check_removed(entry: str, *, field: str) -> None:
    if not entry:
        raise BadRequest([FieldError(field, "expected an id, found an empty text")])


def _read_text(given: Mapping[str, Any], name: str) -> str:
    return read_line(given, name, TEXT_MAX) if given.get(name) not in (None, "") else ""


def _read_until(given: Mapping[str, Any]) -> int:
    until = given.get("until_ms")
    if until is None:
        return 0
    if not isinstance(until, int) or isinstance(until, bool) or not 0 < until <= document.UNTIL_MS_MAX:
        bound = f"expected a time as UTC epoch ms, up to {document.UNTIL_MS_MAX:,}, or null"
        raise BadRequest([FieldError("until_ms", bound)])
    return until
