"""Evidence as people read it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from rich.table import Table

from weir.archive.evidence.sample import Sampled
from weir.archive.seals.verify import Verified
from weir.monitoring.terminal import build_table
from weir.schemas.stream import Stream

_FINDINGS_MAX = 100
"""Lines that are printed; JSON holds them all."""
Document = dict[str, Any]


def build_tables(document: Document, stream: Stream) -> list[Table]:
    """Return an answer as tables: the verdict first, then what it was made of."""
    tables = [build_table(("what", "answer"), list(_summary(document)), title=f"{stream.event} {document['id']}")]
    decision = document["decision"]
    if decision and decision["recorded"]:
        names = [name for name in decision["recorded"] if name != "reasons"]
        rows = [(name, _cell(name, decision["recorded"]), _cell(name, decision["computed"])) for name in names]
        tables.append(build_table(("field", "recorded", "computed now"), rows, title="decision"))
        reasons = [(each["code"], each["detail"]) for each in decision["recorded"]["reasons"]]
        tables += [build_table(("code", "detail"), reasons, title="reasons")] if reasons else []
    if document["features"] and "vector" in document["features"]:
        rows = list(document["features"]["vector"].items())
        tables.append(build_table(("feature", "value"), rows, title="features, as the model saw them"))
    places = [
        (each["topic"], each["partition"], each["offset"], _time(each["append_ms"])) for each in document["coordinates"]
    ]
    tables.append(build_table(("topic", "partition", "offset", "appended"), places, title="records"))
    return tables


def _summary(document: Document) -> Iterator[tuple[str, str]]:
    decision, proof = document["decision"], document["proof"]
    if decision is None:
        dead = document["dead_letters"]
        yield "decision", dead[-1]["message"] if dead else "none in the archive yet"
    else:
        recorded = decision["recorded"] or {}
        yield "decision", f"{recorded.get('decision', 'cannot be read')} by {recorded.get('decided_by', '-')}"
        yield "computed now", _compare(decision)
    if decision and decision["in_force"]:
        model = decision["in_force"]["model"]
        yield "model", f"{model['name']} {model['version']}, sha256 {model['sha256'] or 'none'}"
        yield "thresholds", json.dumps(decision["in_force"]["thresholds"])
        yield "rules, lists", f"{decision['in_force']['rules_version']}, {decision['in_force']['lists_version']}"
    if decision and decision["recorded"]:
        yield from _describe_shadows(decision["recorded"], decision["shadow"])
    label = document["label"]
    yield "label", json.dumps(label["record"], default=str) if label else "none has come"
    if document["request_id"]:
        yield "request id", document["request_id"]
    sealed, of = len(proof["rows"]), len(document["coordinates"])
    head = proof["head"]
    yield (
        "proof",
        proof.get("note") or f"{sealed} of {of} records in seals up to {head['sequence'] if head else 'none'}",
    )


def _describe_shadows(recorded: Document, shadow: Document | None) -> Iterator[tuple[str, str]]:
    """Yield what stood next to what decided: a model, where there was one, and rules."""
    if recorded["shadow_model_name"] is not None:
        score = recorded["shadow_score"]
        said = "could not score" if score is None else f"score {score:.6g}"
        yield "shadow model", f"{recorded['shadow_model_name']} {recorded['shadow_model_version']}, {said}"
        yield "shadow computed now", _compare_shadow(shadow)
    yield "shadow rules", ", ".join(recorded["shadow_rules"]) or "none held"


def _compare(decision: Document) -> str:
    if decision["is_same"] is None:
        return f"not computed: {decision['note']}"
    if decision["is_same"]:
        is_whole = decision["shadow"] is None or decision["shadow"]["is_same"] is not None
        return "equal, bit for bit" if is_whole else "equal, bit for bit; the shadow's score is not computed"
    return f"differs in {', '.join(decision['differences'])}" + (f": {decision['note']}" if decision["note"] else "")


def _compare_shadow(shadow: Document | None) -> str:
    if shadow is None:
        return "not computed, as the decision"
    if shadow["is_same"] is None:
        return f"not computed: {shadow['note']}"
    return "equal, bit for bit" if shadow["is_same"] else f"differs: {shadow['computed']!r}"


def _cell(name: str, fields: Document | None) -> str | None:
    if fields is None or fields[name] is None:
        return None
    value = fields[name]
    return _time(value) if name.endswith("_ms") else value if isinstance(value, str) else json.dumps(value)


def _time(epoch_ms: int) -> str:
    return datetime.fromtimestamp(epoch_ms / 1_000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def describe_verified(verified: Verified, *, is_key_known: bool) -> Document:
    """Return the outcome of a verification as JSON holds it; ``lines`` are for people."""
    head = verified.head
    document: Document = {
        "is_in_order": not verified.findings,
        "seals": verified.seals,
        "head": {"sequence": head.sequence, "hash": head.hash, "public_key": head.public_key} if head else None,
        "tables": {
            name: {
                "rows": each.rows,
                "erased": each.erased,
                "forgotten_by_retention": each.forgotten,
                "lost_as_recorded": each.lost,
                "not_sealed_yet": each.unsealed,
            }
            for name, each in verified.tables.items()
        },
        "kept_files": verified.files,
        "findings": [{"where": each.where, "kind": each.kind} for each in verified.findings],
    }
    lines = [
        f"{name}: {each.rows} rows, {each.erased} erased, {each.forgotten} forgotten by retention, "
        + (f"{each.lost} lost as recorded, " if each.lost else "")
        + f"{each.unsealed} not sealed yet"
        for name, each in verified.tables.items()
    ]
    lines.append(f"next to the tables: {verified.files} sealed files")
    lines += [str(finding) for finding in verified.findings[:_FINDINGS_MAX]]
    if len(verified.findings) > _FINDINGS_MAX:
        lines.append(f"and {len(verified.findings) - _FINDINGS_MAX} more; --json has them all")
    if head:
        known = "a key that is trusted" if is_key_known else f"{head.public_key}, which nobody here vouches for"
        lines.append(f"head: seal {head.sequence}, hash {head.hash}, signed by {known}")
    lines.append("in order" if not verified.findings else f"NOT in order: {len(verified.findings)} findings")
    return document | {"lines": lines}


def describe_sampled(sampled: Sampled) -> Document:
    """Return the outcome of a sample as JSON holds it; ``lines`` are for people."""
    document: Document = {
        "made": sampled.made,
        "different": sampled.different,
        "not_made": dict(sampled.not_made),
        "unexplained": sampled.unexplained,
        "shadows_made": sampled.shadows_made,
        "shadows_not_made": dict(sampled.shadows_not_made),
        "unscored": sampled.unscored,
    }
    lines = [f"{sampled.made:,} decisions made again, {len(sampled.different):,} differ"]
    for each in sampled.different[:_FINDINGS_MAX]:
        at = each["at"]
        lines.append(f"{at['topic']}[{at['partition']}]@{at['offset']}: differs in {', '.join(each['differences'])}")
    if len(sampled.different) > _FINDINGS_MAX:
        lines.append(f"and {len(sampled.different) - _FINDINGS_MAX} more; --json has them all")
    if sampled.unexplained:
        lines.append(f"{sampled.unexplained:,} were recorded without an explanation, and are the same otherwise")
    if sampled.shadows_made:
        lines.append(f"{sampled.shadows_made:,} of them with the score of their shadow")
    if sampled.unscored:
        lines.append(
            f"{sampled.unscored:,} were recorded without a score of their shadow, which fails for whole batches"
        )
    lines += [f"{count:,} shadow scores not made again: {why}" for why, count in sampled.shadows_not_made.items()]
    lines += [f"{count:,} not made again: {reason}" for reason, count in sampled.not_made.items()]
    return document | {"lines": lines}
