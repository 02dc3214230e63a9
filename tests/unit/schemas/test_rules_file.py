"""A rules file is read as it is meant, or refused with every fault, each with its line, column and nearest word."""

from __future__ import annotations

import textwrap
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weir.inference.core.rules import describe_condition
from weir.inference.rule_sets import read_rules, rules_of
from weir.schemas.checks.fields import read_schema
from weir.schemas.checks.rules import RULES_MAX, rule_columns
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import Refused
from weir.schemas.rules import Rule
from weir.schemas.rules_file import FAULTS_MAX, parse_rules
from weir.schemas.streams.payments import payments
from weir.schemas.yaml_tree import BYTES_MAX

FULL = """
rules:
  - name: card_testing
    why: a script tries a card
    owner: fraud-team
    when: >
      card_event_count_5m >= 12 and
      country == "NO" and not in_list("allow", card_id)
    then: DECLINE
    code: CARD_TESTING
    text: tiny payments
    mode: off
    priority: 10
    valid: {from: 2026-01-01, to: 2026-07-01T02:00:00+02:00}
    examples:
      - values: {card_event_count_5m: 12, country: NO, mcc: 5411, score: null}
        hit: true
        lists: {allow: [card_id]}
"""
SMALL = "rules:\n  - {name: a, why: b, when: score > 0.5, then: REVIEW}\n"


def _read(text: str) -> tuple[Rule, ...]:
    return read_rules(text, payments, "rules/payments.yaml").rules


def _refused(text: str) -> list[str]:
    with pytest.raises(Refused) as caught:
        read_rules(text, payments, "p.yaml")
    return str(caught.value).split("\n")


def test_a_rule_is_read_with_all_that_it_says() -> None:
    (rule,) = _read(FULL)
    assert (rule.name, rule.then, rule.code, rule.text, rule.owner) == (
        "card_testing", "DECLINE", "CARD_TESTING", "tiny payments", "fraud-team",
    )  # fmt: skip
    assert (rule.mode, rule.priority, rule.valid_ms) == ("off", 10, (1_767_225_600_000, 1_782_864_000_000))
    assert describe_condition(rule) == (
        "card_event_count_5m >= 12 and country == 'NO' and not in_list('allow', card_id)"
    )
    (example,) = rule.examples
    assert example.values == {"card_event_count_5m": 12.0, "country": "NO", "mcc": 5411, "score": None}
    assert (example.hit, example.lists, example.where.line) == (True, {"allow": ("card_id",)}, 16)


def test_a_file_says_the_same_as_a_declaration() -> None:
    written = "rules:\n" + "".join(
        f"- {{name: {rule.name}, why: '{rule.why}', when: {describe_condition(rule)}, then: {rule.then}, "
        f"code: {rule.code}}}\n"
        for rule in payments.rules
    )
    found, declared = read_rules(written, payments, "p.yaml"), rules_of(payments)
    assert (found.version, found.digest) == (declared.version, declared.digest) == ("1", declared.digest)


def test_what_decides_raises_the_version_and_nothing_else_does() -> None:
    versions = {
        name: read_rules(text, payments, "p.yaml").digest
        for name, text in {
            "same": SMALL,
            "owner": SMALL.replace("name: a", "owner: me, name: a"),
            "comment": "# why\n" + SMALL.replace("score > 0.5", "(score > 0.5)"),
            "number": SMALL.replace("0.5", "0.6"),
            "mode": SMALL.replace("name: a", "mode: shadow, name: a"),
            "priority": SMALL.replace("name: a", "priority: 1, name: a"),
            "valid": SMALL.replace("name: a", "valid: {to: 2027-01-01}, name: a"),
            "text": SMALL.replace("name: a", "text: c, name: a"),
        }.items()
    }
    assert versions["same"] == versions["owner"] == versions["comment"]
    assert len(set(versions.values())) == 6


def test_every_fault_is_said_at_once_with_its_place() -> None:
    assert _refused("""
rules:
  - name: Card Testing
    why: tiny payments
    when: >
      card_event_count_5m >= 12
      and card_smal_ratio_1h >= 0.8 and not in_list("alow", card_id)
    then: DECLIN
    mode: of
    priority: high
    valid: {from: 2026-08-01, to: 2026-07-01}
    exampels: []
  - name: a
    when: |
      channel == "ECOMM" and
        amount_minor / 0 > 3 or lat > 3
    then: TAG
    why: x
    examples:
      - {values: {chanel: x, amount_minor: abc}, hit: maybe}
  - name: a
    why: x
    when: "score >= 0.5 &&
       country == 'x'"
    then: ALLOW
  - [1]
  - name: c
    name: d
    code: "a b"
  - {name: e, why: f, when: [1], then: REVIEW}
  - {name: g, why: f, when: score, then: REVIEW}
  - {name: h, why: f, when: score > 0.5, then: REVIEW, valid: {from: soon}}
""") == [
        "p.yaml:3:11: rule Card Testing: expected a name of a-z, 0-9 and _, found 'Card Testing'",
        (
            "p.yaml:7:11: rule Card Testing: expected a feature, a kept field or score, found 'card_smal_ratio_1h'; "
            "did you mean 'card_small_ratio_1h'?"
        ),
        "p.yaml:7:45: rule Card Testing: expected a list, found 'alow'; did you mean 'allow'?",
        (
            "p.yaml:8:11: rule Card Testing: expected one of DECLINE, ALLOW, REVIEW, ALERT, TAG, found 'DECLIN'; "
            "did you mean 'DECLINE'?"
        ),
        "p.yaml:9:11: rule Card Testing: expected one of live, shadow, off, found 'of'; did you mean 'off'?",
        "p.yaml:10:15: rule Card Testing: expected a whole number for priority, found 'high'",
        "p.yaml:11:12: rule Card Testing: expected an end after the start, found 2026-08-01 to 2026-07-01",
        (
            "p.yaml:12:5: rule Card Testing: expected one of name, why, owner, when, then, code, text, mode, priority, "
            "valid, examples, found 'exampels'; did you mean 'examples'?"
        ),
        "p.yaml:15:7: rule a: expected a value of 'channel', found 'ECOMM'; did you mean 'ECOM'?",
        "p.yaml:16:9: rule a: expected a divisor that is not 0, found 0",
        (
            "p.yaml:16:33: rule a: expected a feature, a kept field or score, found 'lat', which is not kept: "
            "add it to keep="
        ),
        (
            "p.yaml:20:9: rule a, example: expected a feature, a kept field or score, found 'chanel'; "
            "did you mean 'channel'?"
        ),
        "p.yaml:20:44: rule a, example 1: expected integer for 'amount_minor', found 'abc'",
        "p.yaml:20:55: rule a, example 1: expected hit: true or false, found 'maybe'",
        "p.yaml:21:11: rule a: expected one rule of the name 'a' at a time, found 2",
        "p.yaml:23:25: rule a: expected an expression, found \"&& country == 'x'\"; write `and`",
        "p.yaml:26:5: rule ?: expected name: and a value, found a list",
        "p.yaml:27:5: rule c: expected why, when, then, found none",
        "p.yaml:28:5: rule c: expected name once, found it again",
        "p.yaml:29:11: rule c: expected a code of letters, digits and _, found 'a b'",
        "p.yaml:30:29: rule e: expected text for when, found a list",
        "p.yaml:31:29: rule g: expected a condition, found an expression of number",
        "p.yaml:32:63: rule h: expected a time like 2026-01-31 or 2026-01-31T12:00:00Z, found 'soon'",
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "1:1: rules file: expected a rules file, found an empty one"),
        ("[]", "1:1: rules file: expected rules: and a value, found a list"),
        ("rules: [", "2:1: rules file: expected YAML, found a line that is none"),
        ("rules:\n  - name: a\n   why: b", "3:4: rules file: expected YAML, found a line that is none"),
        ("rules: &x 1", "1:8: rules file: expected every value where it is used, found an anchor or an alias"),
        ("rules: [*x]", "1:9: rules file: expected every value where it is used, found an anchor or an alias"),
        ("rules: !!python/object/apply:os.system [x]", "1:8: rules file: expected a plain value, found a tag"),
        ("rules: []\n---\n", "2:1: rules file: expected one document, found another"),
        ("- " * 500_000, "1:17: rules file: expected at most 8 levels, found more"),
        ("[" * 1_000_000, "1:9: rules file: expected at most 8 levels, found more"),
        ("#" * (BYTES_MAX + 1), "1:1: rules file: expected at most 1,048,576 bytes, found 1,048,577"),
        ("#" * 10_000_000, "1:1: rules file: expected at most 1,048,576 bytes, found 10,000,000"),
        ("rules: \0", "1:1: rules file: expected YAML, found a character that no text has"),
        ("rules: \ud800", "1:1: rules file: expected YAML, found a character that no text has"),
        ("rules:\n" + "  - 1\n" * (RULES_MAX + 1), "1002:5: rules: expected at most 1,000 rules, found 1,001"),
    ],
)  # fmt: skip
def test_what_is_no_rules_file_is_refused_in_one_line(text: str, fault: str) -> None:
    (found,) = _refused(text)
    assert found.startswith(f"p.yaml:{fault}")


def test_a_file_of_faults_is_answered_in_time_and_with_an_end() -> None:
    condition = " or ".join(["card_evnt_count_5m == 1"] * 99)
    text = "rules:\n" + "".join(
        f"  - {{name: r{n}, why: b, then: REVIEW, when: {condition}}}\n" for n in range(RULES_MAX // 3)
    )
    assert len(text) > BYTES_MAX * 0.7
    found = _refused(text)
    assert len(found) == FAULTS_MAX + 1
    assert found[-1].endswith("and more faults from here on")


def test_a_file_without_rules_decides_nothing() -> None:
    assert read_rules("rules: []\n", payments, "p.yaml") == rules_of(replace(payments, rules=[]))


@pytest.mark.parametrize(
    "style", ["when: {}", 'when: "{}"', "when: >\n      {}", "when: |\n      {}", "when: >-\n\n      {}"]
)
def test_a_fault_of_a_condition_has_its_place_in_every_style_of_yaml(style: str) -> None:
    when = "score > 0.5 and\n      card_event_cnt_5m > 1"
    text = "rules:\n  - name: a\n    why: b\n    then: REVIEW\n    " + style.format(when) + "\n"
    (found,) = _refused(text)
    line = next(number for number, each in enumerate(text.split("\n"), 1) if "cnt" in each)
    assert found.startswith(f"p.yaml:{line}:7: rule a: ")


COLUMNS = rule_columns(payments, dict(read_schema(event_schemas(payments)[-1]) or {}))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_text_ends_the_reader_and_every_fault_has_a_place(data: st.DataObject) -> None:
    lines = textwrap.dedent(FULL).split("\n")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        column = data.draw(st.integers(0, len(lines[at])))
        piece = data.draw(st.text("ab01:-[]{}&*!|>'\"%@`#,? \t\n\\", max_size=4) | st.sampled_from(["- ", "null", "~"]))
        cut = data.draw(st.integers(0, 8))
        lines[at] = lines[at][:column] + piece + lines[at][column + cut :]
    text = "\n".join(lines)
    rules, found = parse_rules(text, COLUMNS, "p.yaml")
    assert rules or found or "rules: []" in text
    for finding in found:
        assert 1 <= finding.where.line <= text.count("\n") + 2
        assert finding.where.column >= 1
        assert finding.fault.startswith(("expected ", "and more"))
