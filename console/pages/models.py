"""Models: those in force, how they were chosen, and taking one back; one with its card; what its thresholds do."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse, Response
from starlette.exceptions import HTTPException

from weir.access.key import Scope
from weir.console.api import Answer, ApiAway
from weir.console.models import (
    FIGURES,
    FIGURES_MAX,
    Shown,
    find_figure,
    find_nearest,
    list_figures,
    list_names,
    show_points,
)
from weir.console.pages.site import Site, Visit, answer_csv, pick
from weir.console.view import link
from weir.monitoring.logs import get_logger

DAYS: Final = (7, 30, 90, 366)
_DAYS = 90
_VERSION_CHARACTERS_MAX = 200
_NO_ARCHIVE = "No decision is archived yet. The operator starts the archive with: weir archive"
_IN_FORCE, _NONE = "in force", "none"
WHY_CHARACTERS_MAX = 500
log = get_logger(__name__)
_FAIRNESS = ("demographic parity", "equal opportunity")
"""What the names of the gates about groups begin with."""


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/models")
    async def get_models(request: Request) -> Response:
        return await _show_models(site, site.enter(request))

    @app.post("/streams/{stream}/models/rollback")
    async def post_rollback(request: Request) -> Response:
        visit = site.enter(request, Scope.RULES)
        fields = await site.read_form(visit)
        done = await site.attempt(visit, "models/rollback", pick(fields, "role", "version", "why"))
        if done.code:
            return await _show_models(site, visit, refused=done, fields=fields)
        log.info("model_taken_back", role=done.document["role"], key=visit.session.key.id)
        return RedirectResponse(link(f"{visit.base}/models", done="1"), status_code=303)

    @app.get("/streams/{stream}/models/model")
    async def get_model(request: Request) -> Response:
        return await _show_model(site, site.enter(request))

    @app.get("/streams/{stream}/models/thresholds")
    async def get_thresholds(request: Request) -> Response:
        return await _show_thresholds(site, site.enter(request))

    @app.get("/streams/{stream}/models/thresholds.csv")
    async def get_export(request: Request) -> Response:
        visit = site.enter(request)
        return _export(_expect(await _measure(site, visit)))


def _expect(found: Answer) -> Mapping[str, Any]:
    if found.code:
        raise HTTPException(found.status, found.message)
    document: Mapping[str, Any] = found.document
    return document


async def _show_models(
    site: Site, visit: Visit, *, refused: Answer | None = None, fields: Mapping[str, str] | None = None
) -> Response:
    found, typed = _expect(await site.get(visit, "models")), fields or {}
    try:
        history, away = _expect(await site.get(visit, "models/history"))["history"], ""
    except ApiAway as error:  # models are shown without Kafka too
        history, away = [], str(error)
    may_change = visit.session.key.may(Scope.RULES)
    in_force = [act for act in history if act["state"] == _IN_FORCE and act["version"] != _NONE]
    return site.render(
        visit,
        "models.html",
        status=200 if refused is None else refused.status,
        found=found,
        figures={role["version"]: find_figure(role["metrics"], "pr_auc") for role in found["roles"]},
        history=history,
        away=away,
        taken_back=in_force if may_change else [],
        refused="" if refused is None else refused.message,
        role=typed.get("role", ""),
        typed=typed.get("why", ""),
        done=visit.query("done"),
        why_max=WHY_CHARACTERS_MAX,
    )


async def _show_model(site: Site, visit: Visit) -> Response:
    found = _expect(await site.get(visit, _path(visit)))
    figures = list(islice(list_figures(found["metrics"]), FIGURES_MAX))
    fairness = [gate for gate in found["gates"] if gate["name"].startswith(_FAIRNESS)]
    drifted = (found["drift"] or {}).get("drifted", [])
    measured = visit.stream.labels is not None
    return site.render(
        visit, "model.html", found=found, figures=figures, fairness=fairness, drifted=drifted, measured=measured
    )


async def _show_thresholds(site: Site, visit: Visit) -> Response:
    answer = await _measure(site, visit)
    if answer.code == "no_archive":
        return _render_thresholds(site, visit, None, [], said=_NO_ARCHIVE, status=answer.status)
    found = _expect(answer)
    return _render_thresholds(site, visit, found, show_points(found), said=found["note"])


def _render_thresholds(
    site: Site, visit: Visit, found: Mapping[str, Any] | None, points: list[Shown], *, said: str, status: int = 200
) -> Response:
    version, days = visit.query("version"), _read_days(visit)
    cuts = found["thresholds"] if found else {}
    places = {name: find_nearest(points, value) for name, value in cuts.items()} if points else {}
    return site.render(
        visit,
        "thresholds.html",
        status=status,
        found=found,
        version=version,
        points=points,
        places=places,
        at=_find_at(points, visit.query("at"), places.get("review", 0)),
        figures={name: FIGURES[name] for name in list_names(found["currency"] if found else None)},
        said=said,
        days=days,
        choices=DAYS,
        export=link(f"{visit.base}/models/thresholds.csv", version=version, days=days),
    )


def _find_at(points: list[Shown], given: str, default: int) -> int:
    """Return the place that is asked for; the slider sends it where no script moves it."""
    return (
        int(given)
        if given.isascii() and given.isdecimal() and len(given) <= 4 and int(given) < len(points)
        else default
    )


async def _measure(site: Site, visit: Visit) -> Answer:
    return await site.get(visit, f"{_path(visit)}/thresholds", days=_read_days(visit))


def _read_days(visit: Visit) -> int:
    given = visit.query("days")
    return int(given) if given in {str(days) for days in DAYS} else _DAYS


def _path(visit: Visit) -> str:
    """Return the path of the model that is asked for; what would lead elsewhere names none."""
    version = visit.query("version")
    if not 0 < len(version) <= _VERSION_CHARACTERS_MAX or version in {".", ".."}:
        raise HTTPException(404, "expected the version of a model, found none")
    return f"models/{quote(version, safe='')}"


def _export(found: Mapping[str, Any]) -> Response:
    names = ["threshold", "flagged", *list_names(found["currency"])]
    rows = [[point[name] for name in names] for point in found["points"]]
    return answer_csv("thresholds.csv", [names, *rows])
