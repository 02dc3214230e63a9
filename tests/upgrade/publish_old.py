"""Publishes rules, lists and thresholds, decides by them and archives all of it: ``python publish_old.py FOLDER``.

Older code runs this in its own tree, so whatever is imported here is that code's. ``FOLDER/published`` gets decisions
by two versions of everything, and ``acts.json``, the records of the topic; ``FOLDER/declared`` gets decisions by the
rules that the stream declares and by a lists file. What decided is left in the archives alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.unit.archive import decided, test_in_force
from tests.unit.inference.published.acts import build_act
from weir.archive.in_force.unpublished import UnpublishedKeeper
from weir.archive.in_force.versions import Versions
from weir.archive.objects import Objects
from weir.archive.place import Place
from weir.inference.core.thresholds import ThresholdTable, parse_thresholds
from weir.inference.published.act import Act, Kind
from weir.schemas.streams.payments import payments

RECORDS = 300
_RULES = """
rules:
  - {name: often, why: so often, owner: risk, when: 1 <= card_event_count_1h < %d, then: REVIEW, priority: %d}
  - {name: burst, why: a script, when: card_event_count_5m > %d and card_event_count_1h is not None, then: DECLINE}
  - name: night
    why: noted
    when: event_time_ms.hour() < %d or not channel in ["ECOM", "MOTO"]
    then: TAG
    code: NIGHT
  - name: tried
    why: tried
    when: money(amount_minor, currency) * 2 > 100 or score >= 0.5
    then: DECLINE
    mode: shadow
  - name: known
    why: known
    when: merchant_id.matches("shop-1[2-3]?") and (card_amount_sum_1h / 2 < 9000 or card_amount_sum_1h is None)
    then: ALLOW
  - {name: once, why: was, when: "True", then: DECLINE, valid: {from: 2020-01-01, to: 2020-02-01}}
  - {name: never, why: off, when: card_id is not None, then: DECLINE, mode: "off"}
  - {name: listed, why: on a list, when: 'in_list("allow", card_id)', then: TAG}
"""
RULES = [_RULES % (9, 1, 2, 6), _RULES % (7, 2, 1, 9)]
THRESHOLDS = [
    '{"by":"channel","decline":0.9,"review":0.1,"segments":{"ECOM":{"decline":0.6,"review":0.3}}}',
    '{"decline":0.5,"review":0.2}',
]


def publish(home: Path) -> None:
    """Decide by two versions of everything that is published, and archive it."""
    own = {"RULES": RULES, "THRESHOLDS": THRESHOLDS, "parse_thresholds": _parse_thresholds, "build_act": _build_act}
    vars(test_in_force).update(own)
    topic, decisions = test_in_force._published()
    topics, all_topics = decided.topics, {**decided.topics(), "decisions": decisions}
    vars(decided).update(topics=lambda _partitions=1: all_topics)
    decided.build_archive(home)
    vars(decided).update(topics=topics)
    (home / "lists.json").unlink()
    test_in_force._keep(home, topic)
    acts = {"values": [(value or b"").decode() for value in topic.values], "parts": topic.parts}
    (home / "acts.json").write_text(json.dumps(acts))


def _build_act(kind: Kind, text: str | None, **given: Any) -> Act:
    """Return an act that names the one of its kind before it, as the commands' do."""
    act = build_act(kind, text, after=_newest.get(kind, ""), **given)
    _newest[kind] = act.id
    return act


_newest: dict[str, str] = {}


def _parse_thresholds(document: Any, _fields: object, version: str) -> ThresholdTable:
    """Read thresholds by segment too, which that test has none of."""
    return parse_thresholds(document, payments.kept_in_rows, version)


def declare(home: Path) -> None:
    """Decide by what is declared and by a lists file, and archive it."""
    decided.build_archive(home)
    versions = Versions(Objects(Place(str(home / "archive"))), test_in_force.TOPIC)
    UnpublishedKeeper(payments, home / "lists.json", versions).look()
    (home / "lists.json").unlink()


if __name__ == "__main__":
    decided.RECORDS = RECORDS
    folder = Path(sys.argv[1])
    for make, name in ((publish, "published"), (declare, "declared")):
        (folder / name).mkdir()
        make(folder / name)
