"""A run on our own simulator as Markdown: what each kind of feature adds, and which scenarios are found."""

from __future__ import annotations

from typing import Final

from weir.training.benchmarks.page import table
from weir.training.benchmarks.simulator import FALSE_POSITIVE_RATE, PRECISIONS, Outcome
from weir.training.evaluate import FALSE_POSITIVE_RATES, recall_name

_FIGURES: Final = {
    "pr_auc": "PR-AUC",
    "roc_auc": "ROC-AUC",
    **{recall_name(rate): f"recall at {rate:.1%} false positives" for rate in FALSE_POSITIVE_RATES},
    **{f"recall_at_precision_{each * 100:g}pct": f"recall at precision {each:g}" for each in PRECISIONS},
    "money_stopped": f"money stopped at {FALSE_POSITIVE_RATE:.1%}",
    "cost_share": "cost, of approving all",
}
_SHARES: Final = ("money_stopped", "cost_share")


def build_page(outcome: Outcome) -> str:
    """Return all tables of a run."""
    return (
        f"{_describe(outcome)}\n### What each kind of feature adds\n\n{_ladder(outcome)}\n### By scenario\n\n"
        f"Recall of each scenario's payments at a false-positive rate of {FALSE_POSITIVE_RATE:.1%} over all.\n\n"
        f"{_scenarios(outcome)}"
    )


def _describe(outcome: Outcome) -> str:
    frauds = sum(outcome.scenarios.values())
    taught = " and ".join(
        f"{each['known']:,} labelled payments ({each['fraud']:,} fraud) {does}"
        for does, each in zip(("teach", "choose"), outcome.counts.values(), strict=True)
    )
    return (
        f"{taught}, labelled as known when the test began; {outcome.payments:,} later payments judge, {frauds:,} of "
        "them fraud by the simulator's own truth.\n"
        "The cost is that of `weir train`: what is lost, and what reviews and false declines cost.\n"
    )


def _ladder(outcome: Outcome) -> str:
    rows = [
        [
            f"{name} ({step.columns})",
            *(f"{step.figures[each]:.1%}" if each in _SHARES else f"{step.figures[each]:.3f}" for each in _FIGURES),
        ]
        for name, step in outcome.steps.items()
    ]
    return table(["features", *_FIGURES.values()], rows)


def _scenarios(outcome: Outcome) -> str:
    rows = [
        [f"`{name}`", f"{count:,}", *(f"{step.by_scenario[name]:.1%}" for step in outcome.steps.values())]
        for name, count in outcome.scenarios.items()
    ]
    return table(["scenario", "frauds", *outcome.steps], rows)
