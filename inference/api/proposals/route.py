"""Paths of proposals: what waits for another person, approving it, and rejecting it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error
from weir.inference.api.change_body import BY
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.ports import ProposalsSource
from weir.inference.api.proposals import document
from weir.inference.api.published_paths import AWAY, PublishedPaths, read_line
from weir.inference.api.web.error_types import ERROR_TYPES
from weir.inference.published.proposals.settling import SETTLED_WHY_MAX, NotSettled

_Id = Annotated[
    str,
    Path(min_length=document.ID_DIGITS_MIN, max_length=document.ID_DIGITS_MAX, description="or its beginning"),
]
_CODES = ("unknown_proposal", "own_proposal", "proposal_closed", "proposal_outdated")
_SUMMARIES = {"approve": "Put a proposal in force, as another person", "reject": "Say no to a proposal"}


class ProposalsPaths(PublishedPaths):
    """The paths of one kind's proposals."""

    def __init__(self, kind: str, not_passed: str, proposals: ProposalsSource) -> None:
        """Bind to the proposals of a kind, by its name."""
        super().__init__(kind, not_passed)
        self._proposals = proposals

    def add(self, router: APIRouter, path: str) -> None:
        """Add the paths, all of which begin with one."""
        self._add_show(router, f"{path}/proposals")
        for name, settle in (("approve", self._proposals.approve), ("reject", self._proposals.reject)):
            self._add_settling(router, f"{path}/proposals/{{proposal_id}}/{name}", name, settle)

    def _add_show(self, router: APIRouter, path: str) -> None:
        async def get_proposals() -> Response:
            return await self._answer(self._proposals.show)

        shown = examples.answer("the newest ones", document.PROPOSALS, document.PROPOSALS_SHOWN)
        router.get(
            path,
            responses={200: shown, **error_answers(*AWAY)},
            summary=f"What was proposed of {self._kind}",
            openapi_extra=needs(Scope.READ),
        )(get_proposals)

    def _add_settling(self, router: APIRouter, path: str, name: str, settle: Callable[..., dict[str, Any]]) -> None:
        async def post_proposal(request: Request, proposal_id: _Id) -> Response:
            def change(given: dict[str, Any]) -> dict[str, Any]:
                return settle(proposal_id, who=given[BY], why=read_line(given, "why", SETTLED_WHY_MAX))

            return await self._make(request, ("why",), change)

        shown = examples.answer("it is done", document.SETTLED, document.SETTLED_SHOWN[name])
        router.post(
            path,
            name=f"{name}_{self._kind}",
            responses={200: shown, **error_answers(*_CODES, *WRONG_CONTENT, "invalid_request", *AWAY)},
            summary=_SUMMARIES[name],
            openapi_extra=document.WHY_BODY | needs(Scope.RULES),
        )(post_proposal)

    async def _answer(self, make: Callable[[], dict[str, Any]]) -> Response:
        try:
            return await super()._answer(make)
        except NotSettled as error:
            return answer_error(ERROR_TYPES[error.cause].status, error.cause, str(error))
