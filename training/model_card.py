"""The model card: what a model was made from, how good it is, where it must not be trusted. Markdown, for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from weir.inference.core.calibration import SETS, Calibration
from weir.schemas.stream import Stream
from weir.training.calibration.fit import KEYS_MIN
from weir.training.labels import name_verdict
from weir.training.results import STATELESS_RULE, Results
from weir.training.split import Interval
from weir.training.thresholds import IN_MONEY, Prices
from weir.training.weights import SAMPLE_MIN, WEIGHT_MAX, Kind, Weighing

TOP_FEATURES = 15
RELIABILITY_FILE = "reliability.svg"
"""The plot next to the card."""

_LIMITS = """\
- Simulated data unless you trained on your own: figures here say nothing about another portfolio.
- Labels arrive late. Events younger than the maturity are left out, and so are events whose label was not known when
  it was read: frauds that are reported very late are under-represented in training and in the figures.
- Fraud is often confirmed sooner than honesty. Where less than all of an interval is known (table above), its fraud
  share, precision and PR-AUC read higher than they are; recall at a false-positive rate does not depend on the share.
- The first days of the history are left out because its windows were still filling.
- Thresholds are chosen by the costs below on the validation interval; other costs want other thresholds.
- What an attribute of people shapes, such as a country, shapes decisions too: compare decisions between groups.
"""

_WEIGHTS = f"""\
Rows that were let through, or that an analyst looked at, stand for events of their kind whose label could not come;
every other row stands for itself. A kind with fewer than {SAMPLE_MIN} such rows, or without an event that lacks its
label, has the weight 1, and none is above {WEIGHT_MAX:g}. Weights are in what teaches, in the thresholds and in the
figures; they are not in coverage, which counts rows."""


@dataclass(frozen=True)
class Identity:
    """Which model the card is about, how close its graph is to its source, and by what its features were computed."""

    name: str
    version: str
    source: str
    parity_max_abs_diff: float
    declarations_hash: str


def build_card(identity: Identity, stream: Stream, results: Results, prices: Prices) -> str:
    """Return the model card as Markdown; prices are those that the thresholds were chosen by."""
    unit = "base minor units" if prices is IN_MONEY else "missed cases"
    rule = f"`{STATELESS_RULE}` is the best set of rules of up to six conditions each on the {stream.event} alone."
    sections = [
        f"# {identity.name} {identity.version}",
        (
            f"Stream: {stream.name}. Source: {identity.source}. "
            f"Features: {len(stream.feature_names)}, declarations `{identity.declarations_hash}`. "
            f"{results.title}. "
            f"Largest difference between the ONNX graph and the model: {identity.parity_max_abs_diff:.2e}."
        ),
        "## Data\n\n" + _build_data_table(results, stream),
        (
            f"Labels known by {_day(results.split.cut_ms)} UTC taught and chose thresholds; "
            f"labels known by {_day(results.split.end_ms)} UTC judged the test interval."
        ),
        "## Weights\n\n" + _build_weights(results.weighing),
        "## Figures on the test interval\n\n" + _build_metrics_table(results.metrics),
        rule if STATELESS_RULE in results.metrics else f"No {stream.event} has features of its own alone.",
        "## Thresholds\n\n" + _build_pairs("threshold", results.thresholds),
        f"Costs, in {unit}:\n\n" + _build_pairs("cost", prices.describe()),
        "What they do on the test interval:\n\n" + _build_pairs("figure", results.outcomes),
        "## Calibration\n\n" + _build_calibration(results),
        f"## What the model looks at\n\n{results.importance_is}, validation interval.\n\n"
        + _build_pairs("feature", dict(list(results.importance.items())[:TOP_FEATURES])),
        "## Limits\n\n" + _LIMITS.rstrip(),
    ]
    return "\n\n".join(sections) + "\n"


def _build_data_table(results: Results, stream: Stream) -> str:
    head = f"| interval | from | to | {stream.event}s | known | {name_verdict(stream)} |"
    lines = [head, "|---|---|---|---|---|---|"]
    for name, interval in results.split.intervals.items():
        counts = results.counts[name]
        figures = f"{counts['transactions']} | {counts['known']} | {counts['fraud']}"
        lines.append(f"| {name} | {_span(interval)} | {figures} |")
    return "\n".join(lines)


def _build_weights(weighing: Mapping[str, Weighing]) -> str:
    if not any(each.decided for each in weighing.values()):
        return "Every row has the weight 1: nothing is known of what was decided, so of which labels could not come."
    head = "| interval | decisions known | let through | reviewed | largest weight | bounded | rows of weight 1 alike |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for name, each in weighing.items():
        kinds = f"{_say_kind(each.let_through)} | {_say_kind(each.reviewed)}"
        figures = f"{each.largest:.4g} | {each.bounded} | {each.effective_rows:.0f}"
        lines.append(f"| {name} | {each.decided} | {kinds} | {figures} |")
    return "\n".join([*lines, "", _WEIGHTS])


def _say_kind(kind: Kind) -> str:
    found = f"{kind.sample} rows of {kind.events} events"
    return f"{found} stand for {kind.events - kind.labelled}" if kind.is_used else f"{found}, weight 1"


def _build_metrics_table(metrics: Mapping[str, Mapping[str, float]]) -> str:
    models = list(metrics)
    lines = ["| figure | " + " | ".join(models) + " |", "|---" * (len(models) + 1) + "|"]
    for name in metrics[models[0]]:
        figures = " | ".join(f"{metrics[model][name]:.4f}" for model in models)
        lines += [f"| {name} | {figures} |"]
    return "\n".join(lines)


def _build_calibration(results: Results) -> str:
    found = results.calibration
    lines = [_say_fitted(results), "", "| figure, test interval | score | probability |", "|---|---|---|"]
    names = ("brier", "brier_reliability", "brier_resolution", "brier_uncertainty", "brier_within_bins", "ece")
    lines += [f"| {name} | {found[name]:.6g} | {_say(found.get(f'calibrated_{name}'))} |" for name in names]
    lines.append(f"| mean, where {found['fraud_share']:.6g} came true | {found['score_mean']:.6g} | "
                 f"{_say(found.get('probability_mean'))} |")  # fmt: skip
    lines += ["", "Bins have equal counts: ten of them, for the Brier score's parts and for the ECE.", ""]
    if results.worth is not None:
        lines += [*_build_coverage(found), "", *_say_without_edge(results.worth, results.worth_keys)]
    return "\n".join([*lines, f"![What was said against what came true]({RELIABILITY_FILE})"])


def _say_fitted(results: Results) -> str:
    own = results.split.calibration is not None
    counts = results.counts["calibration"]
    where = f"{counts['known']} labelled rows, {counts['fraud']} of them true, of the "
    where += "calibration interval, which chose nothing else" if own else (
        "validation interval, which chose the thresholds and may have chosen the model too: it holds too few frauds to "
        "give calibration a part of its own"
    )  # fmt: skip
    if results.worth is None:
        return f"No probability: {where}, and a class of fewer than ten rows says nothing of itself."
    return f"Probability and prediction set are fitted on {where}. The score stays as it is."


def _build_coverage(found: Mapping[str, float]) -> list[str]:
    lines = ["| class | its rows whose 90 % prediction set holds it | 95 % interval |", "|---|---|---|"]
    for name in ("positive", "negative"):
        share, low, high = (found[f"coverage_{name}{end}"] for end in ("", "_low", "_high"))
        lines.append(f"| {name} | {share:.1%} | {low:.1%} to {high:.1%} |")
    shares = ", ".join(f"{each} {found[f'set_{each.lower()}_share']:.1%}" for each in SETS[::-1])
    return [*lines, "", f"Sets of all labelled rows: {shares}."]


def _say_without_edge(worth: Calibration, keys: Mapping[str, int]) -> list[str]:
    """Return a paragraph for each class that no score rules out, with the reason."""
    lines = []
    for name, is_always in (("positive", worth.positive_from <= 0.0), ("negative", worth.negative_to >= 1.0)):
        if is_always:
            few = f"it is fitted on {keys[name]} keys of that class, and fewer than {KEYS_MIN} have no 90 % edge"
            why = few if keys[name] < KEYS_MIN else "no score rules it out as often as is asked, key by key"
            lines += [f"Every prediction set holds {name.upper()}: {why}.", ""]
    return lines


def _say(value: float | None) -> str:
    return "-" if value is None else f"{value:.6g}"


def _build_pairs(title: str, pairs: Mapping[str, float]) -> str:
    return "\n".join(
        [f"| {title} | value |", "|---|---|", *(f"| {key} | {value:.6g} |" for key, value in pairs.items())]
    )


def _span(interval: Interval) -> str:
    return f"{_day(interval.from_ms)} | {_day(interval.to_ms)}"


def _day(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
