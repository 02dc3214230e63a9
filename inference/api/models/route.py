"""Paths of models: those in force, how they were chosen, one with its card, and what its thresholds do."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Query
from fastapi import Path as PathParameter
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import Response

from weir.access.key import Scope
from weir.inference.api import examples, schema
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.change_body import BY
from weir.inference.api.error_document import Responses, error_answers
from weir.inference.api.from_archive import ERRORS, FromArchive
from weir.inference.api.models import document
from weir.inference.api.models.describe import UnknownModel, describe_model, describe_models, find_cut, find_model
from weir.inference.api.ports import CurveSource, ModelsSource
from weir.inference.api.published_paths import AWAY, PublishedPaths, read_line
from weir.inference.api.request import BadRequest, FieldError
from weir.inference.api.rules.document import VERSION_CHARACTERS_MAX, WHY_CHARACTERS_MAX
from weir.inference.champion import Champion
from weir.inference.published.act import ALIASES
from weir.schemas.currencies import BASE_CURRENCY
from weir.schemas.stream import Stream

_Name = Annotated[
    str,
    PathParameter(json_schema_extra={"minLength": 1, "maxLength": document.NAME_CHARACTERS_MAX},
                  description="a version, the name of its folder, or the beginning of its content hash"),
]  # fmt: skip
_Days = Annotated[int, Query(ge=1, le=document.DAYS_MAX, description="how many days of decisions, the newest first")]


class ModelPaths(PublishedPaths):
    """The paths of one stream's models."""

    def __init__(
        self,
        stream: Stream,
        champion: Champion,
        models_dir: Path,
        choices: ModelsSource | None,
        curves: CurveSource | None,
    ) -> None:
        """Bind to what decides, to where bundles are, and to what tells of choices and of thresholds."""
        super().__init__("models")
        self._stream, self._champion, self._models_dir = stream, champion, models_dir
        self._choices, self._curves = choices, curves
        self._archive = FromArchive()

    def add(self, router: APIRouter, path: str) -> None:
        """Add the paths, all of which begin with one."""
        self._add_models(router, path)
        if self._choices is not None:
            self._add_history(router, f"{path}/history", self._choices)  # before versions, of which any fits
            shown: Responses = {200: examples.answer("it is taken back", document.DONE, document.DONE_SHOWN)}
            change, body, answers = (
                partial(self._take_back, self._choices),
                document.ROLLBACK_BODY,
                ("unknown_version",),
            )
            summary = "End a canary or a shadow, or have the champion before decide"
            self._add_change(router, f"{path}/rollback", change, body, (shown, answers), summary)
        self._add_model(router, f"{path}/{{version}}")
        if self._stream.labels is not None:  # else nobody learns what its events turned out to be
            self._add_thresholds(router, f"{path}/{{version}}/thresholds", self._stream.labels.hold)

    def _add_models(self, router: APIRouter, path: str) -> None:
        @router.get(
            path,
            responses={
                200: examples.answer("what decides", schema.MODELS, document.build_models_shown(self._stream)),
                **error_answers("unavailable", "damaged", "refused"),
            },
            summary="The models, rules and lists in force, and the bundles at hand",
            openapi_extra=needs(Scope.READ),
        )
        async def get_models() -> Response:
            self._champion.poll()
            return answer_json(await run_in_threadpool(describe_models, self._champion, self._models_dir))

    def _add_history(self, router: APIRouter, path: str, choices: ModelsSource) -> None:
        @router.get(
            path,
            responses={
                200: examples.answer("the newest first", document.HISTORY, document.HISTORY_SHOWN),
                **error_answers(*AWAY),
            },
            summary="Who chose which model, when and why",
            openapi_extra=needs(Scope.READ),
        )
        async def get_model_history() -> Response:
            return await self._answer(choices.list_choices)

    def _take_back(self, choices: ModelsSource, given: dict[str, Any]) -> dict[str, Any]:
        role = next((alias for alias in ALIASES if given.get("role") == alias), None)
        if role is None:
            raise BadRequest([FieldError("role", f"expected one of {', '.join(ALIASES)}")])
        version = read_line(given, "version", VERSION_CHARACTERS_MAX)
        return choices.take_back(role, version, who=given[BY], why=read_line(given, "why", WHY_CHARACTERS_MAX))

    def _add_model(self, router: APIRouter, path: str) -> None:
        @router.get(
            path,
            responses={
                200: examples.answer("what it says of itself", document.MODEL, document.build_shown(self._stream)),
                **error_answers("model_not_found", "invalid_request"),
            },
            summary="A model with its card, its gates and its figures",
            openapi_extra=needs(Scope.READ),
        )
        async def get_model(version: _Name) -> Response:
            self._champion.poll()
            try:
                return answer_json(await run_in_threadpool(self._describe, version))
            except UnknownModel as error:
                return answer_error(404, "model_not_found", str(error))

    def _describe(self, version: str) -> dict[str, Any]:
        return describe_model(self._champion, find_model(self._champion, self._models_dir, version))

    def _add_thresholds(self, router: APIRouter, path: str, hold: str) -> None:
        @router.get(
            path,
            responses={
                200: examples.answer("figures at each threshold", document.THRESHOLDS, document.THRESHOLDS_SHOWN),
                **error_answers("model_not_found", "invalid_request", *ERRORS),
            },
            summary="Precision, recall and money at each threshold, from logged scores and the labels that came since",
            openapi_extra=needs(Scope.READ),
        )
        async def get_thresholds(version: _Name, days: _Days = document.DAYS) -> Response:
            self._champion.poll()
            try:
                found = await run_in_threadpool(find_model, self._champion, self._models_dir, version)
            except UnknownModel as error:
                return answer_error(404, "model_not_found", str(error))
            manifest, cut = found.manifest, find_cut(self._champion, found.manifest)
            cuts = float(cut.review), float(cut.decline)
            ask = None
            if self._curves is not None:
                model = self._stream.name, manifest.name, manifest.version
                ask = partial(self._curves.measure, *model, cuts, days)
            measured = await self._archive.ask(ask)
            if isinstance(measured, Response):
                return measured
            told = {
                "name": manifest.name,
                "version": manifest.version,
                "thresholds": {"review": cuts[0], "decline": cuts[1]},
            }
            return answer_json(told | _complete(orjson.loads(measured), hold))


def _complete(measured: dict[str, Any], hold: str) -> dict[str, Any]:
    """Return what was measured with its currency, and why there is nothing where there is nothing."""
    has_money, note = measured.pop("has_money"), ""
    if not measured["events"]:
        note = f"no decision with a score of this model is old enough: labels of this stream are awaited for {hold}"
    elif not measured["known"]:
        note = "of no event that this model scored in these days is it known what it turned out to be"
    return measured | {"currency": BASE_CURRENCY if has_money else None, "note": note}
