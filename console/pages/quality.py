"""Quality: precision, recall and money lost by day, with their intervals, as labels come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from weir.console.pages.site import Site, Visit, answer_csv
from weir.schemas.currencies import format_amount

_FIGURES: Final = ("precision", "recall", "money_lost")
_BOUNDS: Final = ("estimate", "low", "high")
_COUNTS: Final = ("day", "decided", "stopped", "known_fraud", "labels_complete")


def add(app: FastAPI, site: Site) -> None:
    """Add the paths."""

    @app.get("/streams/{stream}/quality")
    async def get_quality(request: Request) -> Response:
        visit = site.enter(request)
        found = await _ask(site, visit)
        days = [] if found is None else [_show(each, found["currency"]) for each in found["days"]]
        return site.render(visit, "quality.html", found=found, days=days)

    @app.get("/streams/{stream}/quality.csv")
    async def get_export(request: Request) -> Response:
        found = await _ask(site, site.enter(request))
        names = [*_COUNTS, *(f"{name}_{bound}" for name in _FIGURES for bound in _BOUNDS)]
        return answer_csv("quality.csv", [names, *(_list_cells(each) for each in (found or {"days": []})["days"])])


async def _ask(site: Site, visit: Visit) -> dict[str, Any] | None:
    """Return what was found last; None where nothing was.

    Raises:
        HTTPException: what the API says.
    """
    found = await site.get(visit, "quality")
    if found.code == "no_quality":
        return None
    if found.code:
        raise HTTPException(found.status, found.message)
    document: dict[str, Any] = found.document
    return document


def _show(day: Mapping[str, Any], currency: str) -> dict[str, str]:
    """Return a day in the words of the page: an interval is in brackets."""
    money, complete = day["money_lost"], day["labels_complete"]
    return {
        "day": day["day"],
        **{name: f"{day[name]:,}" for name in ("decided", "stopped", "known_fraud")},
        "complete": "-" if complete is None else f"{complete:.0%}",
        **{name: _show_interval([f"{day[name][each]:.1%}" for each in _BOUNDS] if day[name] else []) for name in
           ("precision", "recall")},
        "lost": _show_interval([format_amount(money[each], currency) for each in _BOUNDS] if money else []),
    }  # fmt: skip


def _show_interval(shown: list[str]) -> str:
    return "{} ({} to {})".format(*shown) if shown else "-"


def _list_cells(day: Mapping[str, Any]) -> list[Any]:
    figures = [(day[name] or {}).get(bound) for name in _FIGURES for bound in _BOUNDS]
    return [*(day[name] for name in _COUNTS), *figures]
