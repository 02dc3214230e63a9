"""Paths of rules: what is in force with its history, a check of a text, publishing it, and taking it back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples
from weir.inference.api.access import needs
from weir.inference.api.body import name_type
from weir.inference.api.change_body import BY, read_flag
from weir.inference.api.error_document import Responses, error_answers
from weir.inference.api.ports import RulesSource
from weir.inference.api.proposals.route import ProposalsPaths
from weir.inference.api.published_paths import AWAY, PublishedPaths, VersionQuery, read_force, read_line
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.rules import document
from weir.inference.published.desk import HasFaults


class RulesPaths(PublishedPaths):
    """The paths of one stream's rules."""

    def __init__(self, rules: RulesSource) -> None:
        """Bind to the rules of a stream."""
        super().__init__("rules", "rules_not_passed")
        self._rules = rules
        self._of_proposals = ProposalsPaths("rules", "rules_not_passed", rules.proposals)

    def add(self, router: APIRouter, path: str) -> None:
        """Add the paths, all of which begin with one."""
        self._add_show(router, path)
        self._of_proposals.add(router, path)
        shown: Responses = {
            200: examples.answer("its faults, or what it says and changes", document.CHECKED, document.CHECKED_SHOWN)
        }
        summary = "Check rules, and try them on the past; nothing is published"
        self._add_change(router, f"{path}/check", self._check, document.CHECK_BODY, (shown, ()), summary)
        shown = {
            200: examples.answer("it is published", document.DONE, document.DONE_SHOWN),
            202: examples.answer("it is still being tried: ask again", document.DONE, document.TRYING_SHOWN),
        }
        self._add_change(
            router, path, self._publish, document.PUBLISH_BODY, (shown, ("rules_not_passed",)), "Publish rules"
        )
        shown = {200: examples.answer("it is in force", document.TAKEN_BACK, document.TAKEN_BACK_SHOWN)}
        summary = "Put a version in force again"
        codes = ("unknown_version",)
        self._add_change(router, f"{path}/rollback", self._roll_back, document.ROLLBACK_BODY, (shown, codes), summary)

    def _add_show(self, router: APIRouter, path: str) -> None:
        async def get_rules(version: VersionQuery = "") -> Response:
            return await self._answer(lambda: self._rules.show(version))

        router.get(
            path,
            responses={
                200: examples.answer("the rules in force, or of a version", document.RULES, document.RULES_SHOWN),
                **error_answers("unknown_version", "invalid_request", *AWAY),
            },
            summary="The rules with their history",
            openapi_extra=needs(Scope.READ),
        )(get_rules)

    def _check(self, given: dict[str, Any]) -> dict[str, Any]:
        return self._rules.check(_read_rules(given), tries=read_flag(given, "try"))

    def _publish(self, given: dict[str, Any]) -> dict[str, Any]:
        why = read_line(given, "why", document.WHY_CHARACTERS_MAX)
        return self._rules.publish(_read_rules(given), who=given[BY], why=why, force=read_force(given))

    def _roll_back(self, given: dict[str, Any]) -> dict[str, Any]:
        version = read_line(given, "version", document.VERSION_CHARACTERS_MAX)
        why = read_line(given, "why", document.WHY_CHARACTERS_MAX)
        return self._rules.roll_back(version, who=given[BY], why=why)

    async def _answer(self, make: Callable[[], dict[str, Any]]) -> Response:
        try:
            return await super()._answer(make)
        except HasFaults as error:
            message = f"expected rules without faults, found {error}; `/rules/check` names each with its line"
            raise BadRequest([FieldError("text", message)]) from None


def _read_rules(given: Mapping[str, Any]) -> str:
    text = given.get("text")
    if not isinstance(text, str):
        raise BadRequest([FieldError("text", f"expected a string, found {name_type(text)}")])
    if len(text) > document.TEXT_CHARACTERS_MAX:
        bound = f"expected at most {document.TEXT_CHARACTERS_MAX:,} characters, found {len(text):,}"
        raise BadRequest([FieldError("text", bound)])
    return text
