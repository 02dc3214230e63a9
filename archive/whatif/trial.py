"""One trial from end to end: the archive is opened, the past is studied, and bounds are held against the outcome."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from deltalake.exceptions import DeltaError

from weir.archive.objects import Objects
from weir.archive.place import Place, first_line
from weir.archive.reader import MS_MAX
from weir.archive.whatif.in_force import Change, Finder
from weir.archive.whatif.labels import read_labels
from weir.archive.whatif.past import Past
from weir.archive.whatif.rescoring import ScoreCheck
from weir.archive.whatif.segments import By
from weir.archive.whatif.show import Document, build_document
from weir.archive.whatif.study import Study
from weir.inference.core.rules import RuleSet
from weir.inference.published.gate import Gate
from weir.infra.settings import Settings
from weir.schemas.errors import Damaged, WeirError


@dataclass(frozen=True)
class Bounds:
    """How far a change may go; None bounds nothing.

    Attributes:
        declined_points: by how many percentage points the share declined may grow.
        good_hurt_percent: by how many percent more good events may be declined.
        needs_labels: the second is exceeded where no labels have matured.
    """

    declined_points: float | None = None
    good_hurt_percent: float | None = None
    needs_labels: bool = True


@dataclass(frozen=True)
class Asked:
    """What of the past is read.

    Attributes:
        since_ms: append time of the first decision.
        until_ms: and of the first one that is left out.
        where: one rule; only events that fulfil it.
        verify: check every logged score.
        by: what tells segments.
        against: what the change is compared with; None is what was decided.
    """

    since_ms: int = 0
    until_ms: int = MS_MAX
    where: RuleSet | None = None
    verify: bool = False
    by: By | None = None
    against: Change | None = None


def run_trial(settings: Settings, root: Place, change: Change, asked: Asked) -> Document:
    """Hold a change against the past of a stream.

    Raises:
        Refused: there is no archive.
        WeirError: no decision is of that time.
        Damaged: the archive cannot be read.
        Transient: its store does not answer.
    """
    try:
        return _study(settings, root, change, asked)
    except (pa.ArrowException, DeltaError, FileNotFoundError) as error:
        line = first_line(error)
        raise Damaged(f"{root.uri} cannot be read: {line}; put the file back from a copy of the archive") from error


def _study(settings: Settings, root: Place, change: Change, asked: Asked) -> Document:
    stream, objects = settings.stream, Objects(root)
    past = Past(root, stream, settings.topics.of(stream))
    labels = read_labels(past.labels, stream, now_ms=past.newest_ms)
    scores = ScoreCheck(settings, objects, rows=past.count(asked.since_ms, asked.until_ms), verify=asked.verify)
    study = Study(past, Finder(settings, objects), labels, change, asked.where, scores, asked.by, asked.against)
    if not sum(study.run(asked.since_ms, asked.until_ms)):
        raise WeirError(
            f"no decision of this time in {root.uri}: none was made, or archived yet, which `weir archive` does"
        )
    return build_document(study.found, scores.found, has_money=study.has_money, has_labels=labels is not None)


def find_failed(document: Document, bounds: Bounds) -> Iterator[Gate]:
    """Yield the gates that a trial does not pass; what was found says so in a sentence."""
    past = document["reproduction"]
    scores = past["scores"]
    wrong = {
        "decisions": past["differing"],
        "scores": scores.get("differing", 0),
        "probabilities or prediction sets": scores.get("unsure", 0),
    }
    for name, count in wrong.items():
        if count:
            yield Gate(
                f"reproduction, {name}",
                False,
                f"NOT as recorded: {count:,} {name} come out otherwise by what was in force, so the figures prove "
                "nothing; verify the archive with `weir evidence verify`",
                "what was recorded",
            )
    points, bound = document["declined_points"], bounds.declined_points
    if bound is not None and points > bound:
        found = f"the share declined grows by {points:.3f} points, more than {bound:g}"
        yield Gate("share declined", False, found, f"at most {bound:g} points more")
    bound = bounds.good_hurt_percent
    if bound is not None and (found := _find_hurt(document, bound, bounds)):
        yield Gate("good events declined", False, found, f"at most {bound:g} % more")


def _find_hurt(document: Document, bound: float, bounds: Bounds) -> str:
    """Return what is wrong with how many good events are declined; empty where nothing is."""
    if document["figures"] is None:
        return "the bound on good events cannot be held: no labels have matured" if bounds.needs_labels else ""
    more = document["figures"]["good_hurt_percent"]
    if more is None:
        return "good events are declined, and none was before"
    return f"of good events {more:.1f} % more are declined, more than {bound:g} %" if more > bound else ""
