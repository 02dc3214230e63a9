"""Rules of a stream for a process that serves: shown, checked, tried on the past, published and taken back.

It is the code of ``weir rules``. What was tried is published next to the rules that it was tried next to.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final

from weir.inference.core.rules import RuleSet, build_rule_set, describe_condition
from weir.inference.published.act import NONE
from weir.inference.published.author import check_said
from weir.inference.published.change_desk import ChangeDesk
from weir.inference.published.diff import diff_texts, read_content
from weir.inference.published.gate import show_trial
from weir.inference.published.opened import (
    NOTHING_DONE,
    describe_act,
    describe_proposal,
    find_version,
    list_acts,
)
from weir.inference.published.proposals.settling import propose
from weir.inference.published.trials import check_passed
from weir.inference.rule_sets import columns_of_rules
from weir.schemas.errors import Transient
from weir.schemas.origin import Finding
from weir.schemas.rules import Rule
from weir.schemas.rules_file import parse_rules

KIND: Final = "rules"
FAULTS_MAX = 200


class HasFaults(Exception):
    """Rules that may not be published; the number of their faults is the argument."""


class RulesDesk(ChangeDesk):
    """The rules of a stream."""

    kind: ClassVar = KIND

    def show(self, version: str = "") -> dict[str, Any]:
        """Return the rules in force or those of a version, and every act, the newest first.

        Raises:
            UnknownVersion: there is no such version.
            Transient: the brokers did not answer in time.
        """
        with self._opened.use() as publisher:
            in_force = publisher.standing.content(KIND)
            content = find_version(publisher, KIND, version) if version else in_force
            name, text = read_content(self._settings.stream, publisher, KIND, content)
            return {
                "version": name,
                "in_force": content == in_force,
                "published": content != NONE,
                "text": text,
                "rules": self._list_rules(text),
                "history": list_acts(publisher, KIND),
            }

    def check(self, text: str, *, tries: bool) -> dict[str, Any]:
        """Return the faults of a text, what it says, and what differs from the rules in force; nothing is published.

        Args:
            text: of a rules file.
            tries: on the past too; the trial runs on where it takes longer than a request waits.

        Raises:
            Transient: the brokers did not answer in time, or another text is being tried.
        """
        rules, faults = self._parse(text)
        if faults or rules is None:
            return {"faults": [_show_fault(each) for each in faults[:FAULTS_MAX]], "version": None, "rules": [],
                    "diff": [], "trial": None}  # fmt: skip
        with self._opened.use() as publisher:
            before = publisher.standing.content(KIND)
            name, now = read_content(self._settings.stream, publisher, KIND, before)
        trial = self._trials.wait(KIND, text, now, content=before) if tries else None
        return {
            "faults": [],
            "version": rules.version,
            "rules": [_show_rule(each) for each in rules.rules],
            "diff": diff_texts(now, text, name, rules.version),
            "trial": show_trial(trial) if tries else None,
        }

    def publish(self, text: str, *, who: str, why: str, force: str) -> dict[str, Any]:
        """Publish a text, tried first, or propose it where the project asks for two people.

        Returns:
            What was done; of a trial that is not done yet, that alone: ask again with the same text.

        Raises:
            HasFaults: the text has some.
            NotPassed: it goes too far, and nothing forces it.
            Refused: who or why is empty or too long.
            Transient: the brokers did not take it, or another text is being tried.
        """
        check_said(who, why)
        rules, faults = self._parse(text)
        if faults or rules is None:
            raise HasFaults(len(faults))
        with self._opened.use() as publisher:
            before = publisher.standing.content(KIND)
            now = read_content(self._settings.stream, publisher, KIND, before)[1]
        trial = self._trials.wait(KIND, text, now, content=before)
        if trial is None:
            return NOTHING_DONE | {"trial": show_trial(None)}
        with self._opened.use() as publisher:
            if publisher.standing.content(KIND) != before:
                raise Transient("expected the rules that it was tried next to, found others published; ask again")
            publisher.who, publisher.why = who, why
            check_passed(publisher, trial, force)
            label = "" if rules.version == NONE else rules.version
            if KIND in self._settings.publishing.four_eyes:
                done = describe_proposal(propose(self._settings, publisher, KIND, [text], label=label, trial=trial))
            else:
                done = describe_act(publisher.publish(KIND, [text], label))
            self._trials.forget()
            return done | {"trial": show_trial(trial)}

    def _list_rules(self, text: str) -> list[dict[str, Any]]:
        """Return the rules of a text; of an old version that is not right for the stream any more, none."""
        rules = self._parse(text)[0] if text else None
        return [] if rules is None else [_show_rule(each) for each in rules.rules]

    def _parse(self, text: str) -> tuple[RuleSet | None, list[Finding]]:
        columns = columns_of_rules(self._settings.stream)
        rules, faults = parse_rules(text, columns, KIND)
        return (None, faults) if faults else (build_rule_set(rules, columns), [])


def _show_rule(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "then": rule.then,
        "mode": rule.mode,
        "code": rule.code,
        "why": rule.why,
        "owner": rule.owner,
        "when": describe_condition(rule),
    }


def _show_fault(fault: Finding) -> dict[str, Any]:
    return {"line": fault.where.line, "column": fault.where.column, "part": fault.what, "fault": fault.fault}
