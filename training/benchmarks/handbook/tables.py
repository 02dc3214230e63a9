"""The run as Markdown: each table of ours next to what is published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple

from weir.training.benchmarks.handbook import ours, published
from weir.training.benchmarks.handbook.equality import Difference
from weir.training.benchmarks.handbook.frauds import SCENARIOS, Counts
from weir.training.benchmarks.handbook.metrics import Figures
from weir.training.benchmarks.handbook.protocol import PUBLISHED_SPLIT
from weir.training.benchmarks.handbook.run import Chosen, Outcome
from weir.training.benchmarks.page import table

_FIGURES = ("AUC ROC", "average precision", "card precision@100")
_NEXT = [f"{name}{whose}" for whose in ("", ", published") for name in _FIGURES]


def build_page(outcome: Outcome) -> str:
    """Return all tables of a run."""
    parts = [
        ("The payments", _describe(outcome.counts)),
        ("The 15 features", _features(outcome.differences)),
        ("Single split", _single_split(outcome.single_split)),
        ("Four folds, seven days that teach", _four_folds(outcome.four_folds, published.FOUR_FOLDS)),
        ("Four folds, all history teaches", _four_folds(outcome.four_folds_history, {})),
        ("Ours", _ours(outcome.ours)),
    ]
    return "\n".join(f"### {title}\n\n{text}" for title, text in parts)


def _describe(counts: Counts) -> str:
    scenarios = ", ".join(
        f"scenario {number}: {added:,} (in the end {final:,})"
        for number, added, final in zip(SCENARIOS, counts.added, counts.final, strict=True)
    )
    return (
        f"{counts.payments:,} payments, {counts.frauds:,} of them fraud; {scenarios}. All equal the published counts.\n"
    )


def _features(differences: Iterable[Difference]) -> str:
    rows = [
        [
            f"`{each.name}`",
            f"`{each.published}`",
            f"{each.equal:,} ({each.equal / each.rows:.2%})",
            f"{each.equal_by_panes:,}",
            f"{each.p99:.2g}",
            f"{each.largest:.2g}",
        ]
        for each in differences
    ]
    heads = ("feature", "published as", "rows equal", "equal over whole panes", "difference, 99 %", "largest")
    return (
        "As the stream computes them, against the definitions over the whole list of payments. Equal is up to the "
        "rounding of float32.\nLabel risk is kept by panes of a thirtieth of its window (docs/features.md): against "
        "the definition over whole panes it is equal in each row.\n\n" + table(heads, rows)
    )


def _single_split(found: Mapping[str, Figures]) -> str:
    rows = [[name, *_cells(figures), *_published(published.SINGLE_SPLIT.get(name))] for name, figures in found.items()]
    teach, taught, judge, judged = (f"{count:,}" for count in PUBLISHED_SPLIT)
    return (
        f"{teach} payments of 2018-07-25 to 07-31 teach, {taught} of them fraud; {judge} of 08-08 to 08-14 judge, "
        f"{judged} of them fraud: the published counts. Each model as its library sets it, on the 15 features.\n\n"
        + table(("model", *_NEXT), rows)
    )


def _four_folds(found: Mapping[str, Chosen], known: Mapping[str, published.Row]) -> str:
    rows = [
        [f"{name} ({each.parameters})", *_cells(each.mean, each.deviation), *_published(known.get(name))]
        for name, each in found.items()
    ]
    if not known:
        return table(("model, on the 15 features", *_FIGURES), [row[:4] for row in rows])
    others = [[f"{name} (not run here)", "", "", "", *_published(row)] for name, row in published.OTHERS.items()]
    return (
        "The mean of four weeks and, after ±, their standard deviation. Where there is a choice, it is made by average "
        "precision on four weeks before the first test.\n\n" + table(("model", *_NEXT), rows + others)
    )


def _ours(outcome: ours.Outcome) -> str:
    considered = [
        [f"{'**' * (name == outcome.chosen)}{name}{'**' * (name == outcome.chosen)}", *_cells(*figures)]
        for name, figures in outcome.considered.items()
    ]
    judged = [[name, *_cells(each.mean, each.deviation)] for name, each in outcome.judged.items()]
    judged.append(["wanted at least", *_cells(ours.WANTED)])
    judged.append(["aimed at", *_cells(ours.AIM)])
    judged.append(["a leak above", *_cells(ours.LEAK)])
    return (
        f"On all {outcome.features} features of the stream. What was considered, on the four weeks before the first "
        "test; by average precision the one in bold was chosen:\n\n"
        + table(("model", *_FIGURES), considered)
        + f"\nOn the four test weeks, the mean of {len(ours.SEEDS)} seeds:\n\n"
        + table(("model", *_FIGURES), judged)
    )


def _cells(figures: Figures, deviation: Figures | None = None) -> list[str]:
    cells = [f"{value:.3f}" for value in astuple(figures)]
    if deviation is None:
        return cells
    return [f"{cell} ± {value:.3f}" for cell, value in zip(cells, astuple(deviation), strict=True)]


def _published(row: published.Row | None) -> list[str]:
    return ["" if value is None else f"{value:.3f}" for value in row or (None, None, None)]
