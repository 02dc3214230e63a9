"""What ``weir redteam`` says: as a document for machines, as a table, and in Markdown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from rich.table import Table

from weir.monitoring.terminal import build_table
from weir.training.benchmarks import page
from weir.training.redteam.game import Played, Terms

_COLUMNS = ("scenario", "at random, USD", "learning, USD", "times", "what it learnt")


def build_document(version: str, terms: Terms, games: Mapping[str, tuple[Played, Played]]) -> dict[str, Any]:
    """Return all games: of each scenario the one at random, and the one by an attacker who learns."""
    by_chance, learnt = (sum(pair[side].taken_usd for pair in games.values()) for side in (0, 1))
    return {
        "model_version": version,
        **asdict(terms),
        "scenarios": {
            name: {"random": _describe(pair[0]), "adaptive": _describe(pair[1]),
                   "times": _divide(pair[1].taken_usd, pair[0].taken_usd)}
            for name, pair in games.items()
        },
        "times": _divide(learnt, by_chance),
    }  # fmt: skip


def _describe(game: Played) -> dict[str, Any]:
    return asdict(game) | {"per_thousand_cards_usd": game.per_thousand_cards_usd}


def _divide(taken: float, by_chance: float) -> float | None:
    return taken / by_chance if by_chance else None


def _list_rows(document: dict[str, Any]) -> list[tuple[str, ...]]:
    rows = []
    for name, games in document["scenarios"].items():
        by_chance, learnt = games["random"], games["adaptive"]
        of = learnt["tactic"]
        said = f"{of['amount_usd']:,.0f} USD, {of['goods']}, {of['gap_seconds']:,.0f} s apart, by {of['hour']}"
        sums = (f"{each['per_thousand_cards_usd']:,.0f}" for each in (by_chance, learnt))
        rows.append((name, *sums, _say_times(games["times"]), said))
    return [*rows, ("all", *_sum_up(document), _say_times(document["times"]), "")]


def _sum_up(document: dict[str, Any]) -> list[str]:
    """Return the mean money per 1,000 cards of all scenarios."""
    games = list(document["scenarios"].values())
    means = [
        sum(each[side]["per_thousand_cards_usd"] for each in games) / len(games) for side in ("random", "adaptive")
    ]
    return [f"{each:,.0f}" for each in means]


def _say_times(times: float | None) -> str:
    return "-" if times is None else f"{times:.1f}"


def _say_terms(document: dict[str, Any]) -> str:
    budget = document["budget"]
    cut = f"the thresholds {document['thresholds']} in force" if document["thresholds"] else "its own thresholds"
    return (
        f"model {document['model_version']}: money taken per 1,000 cards, with a budget of {budget['cards']:,} cards "
        f"and {budget['money_usd']:,.0f} USD, past {cut} and the rules {document['rules']}"
    )


def build_tables(document: dict[str, Any]) -> list[Table]:
    """Return the scenarios."""
    return [build_table(_COLUMNS, _list_rows(document), title=_say_terms(document))]


def build_markdown(document: dict[str, Any]) -> str:
    """Return the same in Markdown."""
    terms = _say_terms(document)
    return f"{terms[0].upper()}{terms[1:]}.\n\n" + page.table(_COLUMNS, _list_rows(document))
