"""Scores by a model that is named: one of a stream, or whichever of the deployment has the name.

A name stands for a model that is in force in this process, for that is loaded: a champion, a canary or a shadow. What
it answers is what its stream would decide now if that model decided: features, lists, rules and thresholds are those
of ``POST …/score``. Nothing is written, and no model stands in for another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi import Path as PathParameter
from fastapi.responses import Response

from weir.access.key import Key, Scope
from weir.inference.api import examples, schema
from weir.inference.api.access import needs
from weir.inference.api.answers import answer_error, answer_json
from weir.inference.api.audited import note_about
from weir.inference.api.error_document import WRONG_CONTENT, error_answers
from weir.inference.api.many import EVENTS_MAX, Scores, score_events
from weir.inference.api.models import document
from weir.inference.api.models.describe import Role, UnknownModel, list_loaded
from weir.inference.api.request import parse_event, parse_events
from weir.inference.api.web.content import find_wrong_content
from weir.inference.api.what_if import Asked
from weir.inference.bundle import Bundle
from weir.inference.champion import Champion
from weir.schemas.stream import Stream

INFERENCE = "/api/v1/inference"
MANY = "batch-process"
ALIASES = {"fraud-detection": "fraud", "churn-score": "churn"}
"""Names of tasks, and what a model for each is called. Any other name is the model's own."""
_AWAY = ("unavailable", "damaged", "refused")
_NAMES_CHARACTERS_MAX = 400


def _name(described: str) -> Any:
    return PathParameter(
        json_schema_extra={"minLength": 1, "maxLength": document.NAME_CHARACTERS_MAX}, description=described
    )


_Version = Annotated[str, _name("a role, a version, the name of its folder, or the model's own name")]
_Model = Annotated[str, _name("the model's own name, or the name of its task")]
_Named = Annotated[str, Query(max_length=document.NAME_CHARACTERS_MAX, description="of the model, as in the path next "
                              "to this one; without it the default stream's own scores")]  # fmt: skip


@dataclass(frozen=True)
class Scoring:
    """How the events of one stream are scored.

    Attributes:
        stream: whose events they are.
        champion: names its models.
        scores: answers one event.
    """

    stream: Stream
    champion: Champion
    scores: Scores

    async def score(self, request: Request, model: Bundle, now_ms: int) -> Response:
        """Answer a request whose body is one event."""
        event = parse_event(self.stream, await request.body(), now_ms=now_ms)
        note_about(request, str(event[self.stream.id]), stream=self.stream.name)
        scored = await self.scores.ask(Asked(event, now_ms, model))
        return answer_json(scored | {"published": None})


def add_named_score(router: APIRouter, path: str, scoring: Scoring, clock: Callable[[], int]) -> None:
    """Add the path of one stream's models: ``…/models/{version}/score``."""
    stream = scoring.stream
    shown = schema.build_score(stream), examples.build_score(stream)

    @router.post(
        f"{path}/{{version}}/score",
        responses={
            200: examples.answer("the decision that the stream would make now, if this model decided", *shown),
            **error_answers("model_not_found", "duplicate", *WRONG_CONTENT, "invalid_request", *_AWAY),
        },
        openapi_extra=examples.event_body(stream) | needs(Scope.SCORE),
        summary=f"Score a {stream.event} by the champion, the canary or the shadow; nothing is written",
    )
    async def post_named_score(request: Request, version: _Version) -> Response:
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        scoring.champion.poll()
        try:
            model = find_loaded(scoring.champion, version)
        except UnknownModel as error:
            return answer_error(404, "model_not_found", str(error))
        return await scoring.score(request, model, clock())


def find_loaded(champion: Champion, name: str) -> Bundle:
    """Return the model in force of a role, of a version, of a folder, or of a name of its own, tried in this order.

    Of several with one name of their own it is the champion, then the canary.

    Raises:
        UnknownModel: none of them.
    """
    roles = list_loaded(champion)
    for names in (_role, _version, _folder, _own):
        found = next((role.bundle for role in roles if names(role) == name), None)
        if found is not None:
            return found
    named = [f"{_role(role)} {_version(role)} ({_own(role)})" for role in roles]
    raise UnknownModel(f"expected one of the models in force of this stream{_list(named)}, found another name")


class Inference:
    """The models of a deployment by their own names, whichever stream they are of."""

    def __init__(self, streams: Sequence[Scoring], default: str) -> None:
        """Bind to the streams, of which the default one comes first where several have a model of a name."""
        self._streams = sorted(streams, key=lambda each: each.stream.name != default)
        self._default = default

    @property
    def shown(self) -> Stream:
        """The stream whose events are the document's examples."""
        return self._streams[0].stream

    def find(self, name: str, key: Key | None) -> tuple[Scoring, Bundle]:
        """Return the stream of a model and the model; a key that is bound to streams reaches these alone.

        Raises:
            UnknownModel: no stream has one of the name.
        """
        wanted, names = ALIASES.get(name, name), []
        for each in self._streams:
            if key is not None and not key.reaches(each.stream.name):
                continue
            each.champion.poll()
            for role in list_loaded(each.champion):
                if _own(role) == wanted:
                    return each, role.bundle
                names.append(_own(role))
        raise UnknownModel(f"expected one of the models of this deployment{_list(names)}, found another name")

    def find_default(self, key: Key | None) -> Scoring | None:
        """Return the default stream, where there is one and the key reaches it."""
        found = next((each for each in self._streams if each.stream.name == self._default), None)
        return found if found is None or key is None or key.reaches(found.stream.name) else None


def add_inference(app: FastAPI, inference: Inference, clock: Callable[[], int]) -> None:
    """Add the paths by the names of tasks and models."""
    shown = inference.shown
    _add_many(app, inference, shown, clock)  # before names, of which any fits
    answered = schema.build_named_score(), examples.build_score(shown)

    @app.post(
        f"{INFERENCE}/{{model}}",
        responses={
            200: examples.answer("what `POST …/models/…/score` of the model's stream answers", *answered),
            **error_answers("model_not_found", "duplicate", *WRONG_CONTENT, "invalid_request", *_AWAY),
        },
        openapi_extra=examples.any_event_body(shown) | needs(Scope.SCORE),
        summary="Score an event by the model of a name, whichever stream it is of; nothing is written",
    )
    async def post_inference(request: Request, model: _Model) -> Response:
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        try:
            scoring, found = inference.find(model, _find_key(request))
        except UnknownModel as error:
            return answer_error(404, "model_not_found", str(error))
        return await scoring.score(request, found, clock())


def _add_many(app: FastAPI, inference: Inference, shown: Stream, clock: Callable[[], int]) -> None:
    answered = schema.build_named_scores(), examples.build_scores(shown)

    @app.post(
        f"{INFERENCE}/{MANY}",
        responses={
            200: examples.answer("a score or an error for each event, in the order of the request", *answered),
            **error_answers(
                "no_default_stream", "model_not_found", *WRONG_CONTENT, "invalid_request", *_AWAY,
            ),
        },
        openapi_extra=examples.any_events_body(shown, EVENTS_MAX) | needs(Scope.SCORE),
        summary=f"Score up to {EVENTS_MAX:,} events of one stream, each as if it were the only one; nothing is written",
    )  # fmt: skip
    async def post_inference_batch(request: Request, model: _Named = "", features: bool = False) -> Response:
        if wrong := find_wrong_content(request.headers):
            return answer_error(415, *wrong)
        key = _find_key(request)
        try:
            scoring, found = inference.find(model, key) if model else (inference.find_default(key), None)
        except UnknownModel as error:
            return answer_error(404, "model_not_found", str(error))
        if scoring is None:
            return answer_error(404, "no_default_stream", "expected `model=NAME`, found no default stream's events")
        note_about(request, "", stream=scoring.stream.name)
        documents = parse_events(scoring.stream, await request.body(), count_max=EVENTS_MAX)
        told = await score_events(scoring.stream, scoring.scores, documents, clock(), model=found, features=features)
        return answer_json({"scores": told})


def _find_key(request: Request) -> Key | None:
    return getattr(request.state, "key", None)


def _list(names: Iterable[str]) -> str:
    """Return names in brackets, bounded.

    >>> _list(["fraud", "churn", "fraud"]), _list([])
    (' (fraud, churn)', ' (none yet)')
    """
    text = ", ".join(dict.fromkeys(names)) or "none yet"
    return f" ({text:.{_NAMES_CHARACTERS_MAX}})"


def _role(role: Role) -> str:
    return role.name


def _version(role: Role) -> str:
    return role.bundle.manifest.version


def _folder(role: Role) -> str | None:
    return None if role.bundle.directory is None else role.bundle.directory.name


def _own(role: Role) -> str:
    return role.bundle.manifest.name
