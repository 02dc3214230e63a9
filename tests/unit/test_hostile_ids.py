"""Every view against ids that try to act on a terminal: nothing acts, nothing is hidden, nothing is lost.

A view is whatever prints a value that came from outside. Each is written to a pipe and to a terminal.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import json
import re
import sys
import unicodedata
from collections.abc import Callable
from typing import Any, cast

import pytest
from rich.console import Console

import weir.cli
from tests.house.source import name_of, product_files
from tests.payments import FEATURE_NAMES
from tests.unit.streaming.dead_letter_samples import OneSchema, letter
from weir.archive.timeline import show as timeline_show
from weir.demo import summary as demo_summary
from weir.demo.watch import Tally as Watched
from weir.inference.inspect import cli as inspect_cli
from weir.inference.inspect.stream import columns_of
from weir.infra.registry import cli as schemas_cli
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.infra.user_files.tally import SHOWN_OF_A_KIND, Tally
from weir.monitoring import logs
from weir.monitoring.live_view import ShownEvent, Snapshot, render
from weir.monitoring.terminal import build_table, print_line, print_tables
from weir.schemas.errors import PoisonRecord, WeirError
from weir.schemas.printable import escape, escape_json, to_json
from weir.schemas.streams.payments import payments
from weir.streaming.dlq import cli as dlq_cli
from weir.streaming.dlq.plan import Repaired, Step
from weir.streaming.dlq.replay import Report
from weir.streaming.dlq.step_view import describe_step
from weir.streaming.dlq.view import count_letters, letter_details, letter_fields
from weir.streaming.offsets.cli import _write_rows
from weir.streaming.offsets.group import Row

HOSTILE = {
    "markup": "pay[red]hidden[/red]ment",
    "markup left open": "pay[bold",
    "markup closed twice": "pay[/red][/]ment",
    "markup link": "pay[link=https://x.invalid]here[/link]",
    "emoji code": "pay:smile:ment",
    "colour": "pay\x1b[31mred\x1b[0m",
    "clear the screen": "pay\x1b[2J\x1b[H",
    "title": "pay\x1b]0;owned\x07",
    "hyperlink": "pay\x1b]8;;https://x.invalid\x1b\\here\x1b]8;;\x1b\\",
    "clipboard": "pay\x1b]52;c;aGk=\x07",
    "C1 CSI": "pay\x9b31mred",
    "C1 OSC": "pay\x9d0;owned\x9c",
    "back over it": "payment\b\b\b\b",
    "carriage return": "payment\rAPPROVE",
    "newline": "pay\nDECLINE everything",
    "line separator": "pay\u2028DECLINE",
    "next line": "pay\x85DECLINE",
    "tab": "pay\tment",
    "null": "pay\x00ment",
    "delete": "pay\x7fment",
    "bidi override": "pay\u202etnem",
    "bidi isolate": "pay\u2066tnem\u2069",
    "bidi mark": "pay\u200fment",
    "zero width space": "pay\u200bment",
    "zero width joiner": "pay\u200dment",
    "byte order mark": "\ufeffpayment",
    "soft hyphen": "pay\u00adment",
    "blank letter": "pay\u3164ment",
    "blank cell": "pay\u2800ment",
    "variation selector": "pay\ufe0fment",
    "tags": "pay\U000e0041\U000e0042",
    "marks": "pay" + "\u0301" * 40,
    "no break space": "pay\u00a0ment",
    "half a pair": "pay\ud800ment",
    "private use": "pay\ue000ment",
    "backslash": "pay\\x1b[31m",
    "percent": "pay%s%(x)s{0}",
    "long": "a1" * 128,
    "long and hostile": "[red]\x1b" * 40,
    "empty": "",
    "plain in any script": "zahlung-für-東京-Ω",
}

SGR = re.compile(r"\x1b\[[0-9;]*m")
BOX = re.compile(r"[\s│┃┏┓┗┛━┳┻┡╇┩└┘┬┴─╭╮╰╯├┤|]")


def _card(hostile: str) -> dict[str, Any]:
    return {
        "entity": "card",
        "id": hostile,
        "at_ms": 1_700_000_000_000,
        "freshness": {"newest_event_ms": None},
        "complete": False,
        "incomplete_units": [hostile],
        "features": {FEATURE_NAMES[0]: 1.0},
    }


def _decision(hostile: str) -> dict[str, Any]:
    return {
        "transaction_id": hostile,
        "card_id": hostile,
        "merchant_id": hostile,
        "amount_minor": 2_599,
        "amount": "25.99 EUR",
        "currency": "EUR",
        "decision": "DECLINE",
        "decided_by": hostile,
        "score": 0.5,
        "degraded": False,
        "decided_ms": 1_700_000_000_100,
        "latency_ms": 100,
        "reasons": [{"code": "R1", "detail": hostile}],
    }


def _model(hostile: str) -> dict[str, Any]:
    champion = {"name": hostile, "version": "1", "reference": [], "features": [], "note": hostile}
    bundle = {"name": hostile, "version": "1", "created_time_ms": 0}
    process = {"process": hostile, "state": hostile, "model": hostile, "version": hostile, "seen_ms": 0}
    found = {
        "directory": "/d",
        "rules_version": "1",
        "bundles": [bundle],
        "processes": [process],
        "processes_unknown": "",
    }
    return {"champion": champion} | found


def _lag(hostile: str) -> list[dict[str, Any]]:
    row = {"stage": "s", "topic": hostile, "partition": 0, "committed": None, "end": 1, "lag_records": 1}
    return [{**row, "read_by": hostile}]


def _letter(hostile: str) -> Any:
    return letter(message=hostile, reason=hostile, stage=hostile, original_headers=((hostile, b"1"),))


def _dlq(verb: str, hostile: str, *, as_json: bool = False) -> None:
    arguments = argparse.Namespace(json=as_json)
    dead = _letter(hostile)
    if verb == "list":
        dlq_cli._write(arguments, [letter_fields(dead, None)], dlq_cli._LIST_COLUMNS, title=hostile)
    elif verb == "stats":
        dlq_cli._write(arguments, count_letters([(dead, None)]), dlq_cli._STATS_COLUMNS, title=hostile)
    elif verb == "show":
        dlq_cli._write_json(letter_details(dead, None, OneSchema()), indent=None if as_json else 2)
    else:
        report = Report()
        report.notes.append(hostile)
        step = Step(dead, "replayed", "replayed", 1, Repaired(hostile.encode(errors="replace"), b"", rekeyed=True))
        dlq_cli._write_report(arguments, report, [describe_step(step, OneSchema(), "transaction_id")], applied=False)


def _log(fmt: Any, hostile: str, *, raised: bool = False) -> None:
    logs.configure("info", fmt, "test", stream=sys.stdout)
    logger = logs.get_logger("test")
    try:
        if raised:
            raise ValueError(hostile)
        logger.info("event", transaction_id=hostile, listed=[hostile])
    except ValueError:
        logger.exception("failed")


def _weir_error(hostile: str) -> None:
    class Module:
        @staticmethod
        def main(argv: list[str]) -> int:
            raise WeirError(f"expected an id after {argv[0]}, found {hostile}")

    module = Module()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "hostile_module", module)
        patch.setitem(weir.cli.VERBS, "hostile", ("hostile_module", ""))
        patch.setattr(sys, "stderr", sys.stdout)
        assert weir.cli.main(["hostile"]) == 1


def _user_file(hostile: str) -> None:
    """What is wrong with the rows of a user's file, whose name is from outside as well."""
    tally = Tally(hostile, sys.stdout.write)
    for number in range(SHOWN_OF_A_KIND + 1):
        tally.report(number, PoisonRecord("wrong_value", f"expected a currency, found {hostile}"))
    tally.close()


def _live(hostile: str, *, width: int = 150) -> None:
    """Where an id folds, its other lines stand below it; the cells next to it are empty, so it reads as one."""
    declined = ShownEvent("12:00:00", hostile, "", "", [])
    _print_wide(render(Snapshot(latest=[declined]), width=width))


def _live_reasons(hostile: str) -> None:
    _print_wide(render(Snapshot(latest=[ShownEvent("12:00:00", "t", "25.99 EUR", "0.9", [hostile])]), width=150))


def _print_wide(view: Any) -> None:
    Console(file=sys.stdout, width=2_000).print(view)


def _demo_run(hostile: str) -> None:
    """The run that a demo shows at its end."""
    row = {"event_time_ms": 0, "amount_minor": 1, "currency": "EUR", "score": 0.5, "reasons": [{"code": hostile}]}
    row |= {"card_id": hostile}
    decided = {"1": row | {"decision": "APPROVE"}, "2": row | {"decision": "DECLINE"}}
    truth = [{"scenario": "card testing", "actor_id": "a", "transaction_id": number} for number in decided]
    demo_summary.print_sequence(Console(file=sys.stdout, width=5_000), truth, Watched(by_id=decided))


def _walked(hostile: str) -> None:
    """A card of the past, walked through an event with everything of it hostile."""
    at = {"topic": "transactions", "partition": 0, "offset": 1, "append_ms": 0}
    decided = {"decision": "DECLINE", "decided_by": hostile, "score": None, "reasons": [{"code": hostile}]}
    step: dict[str, Any] = {
        "at": at, "id": hostile, "event": None, "refused": hostile, "late": False, "windows": None, "labels": [],
        "decision": decided, "is_same": {"own": True, "shared": True}, "differences": {},
    }  # fmt: skip
    moments: list[dict[str, Any]] = [{"at_ms": 0, "offset": None, "partition": None, "windows": {}}] * 2
    document = {"entity": "card", "id": hostile, "moments": moments, "steps": [step]}
    print_tables(timeline_show.build_tables(document, payments))


def _schemas(hostile: str) -> None:
    finding = schemas_cli.Finding("transactions-value", "v1 of the registry", hostile)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schemas_cli, "check_contracts", lambda *_: [finding])
        patch.setattr(schemas_cli, "check_registered", lambda *_: [])
        schemas_cli._check(cast("Registry", None), Settings(), [], False)


VIEWS: dict[str, Callable[[str], object]] = {
    "inspect card": lambda h: print_tables(inspect_cli._write_entity(_card(h), payments)),
    "inspect card --at": _walked,
    "inspect decision": lambda h: print_tables(inspect_cli._write_decision(_decision(h), payments)),
    "inspect stream": lambda h: print_tables([inspect_cli._write_stream([_decision(h)], payments)]),
    "inspect stream --follow": lambda h: print_line("  ".join((*columns_of(payments), h))),
    "inspect model": lambda h: print_tables(inspect_cli._write_model(_model(h), payments)),
    "inspect lag": lambda h: print_tables(inspect_cli._write_lag(_lag(h), payments)),
    "inspect --json": lambda h: sys.stdout.write(to_json(_decision(h), indent=2)),
    "dlq list": lambda h: _dlq("list", h),
    "dlq list --json": lambda h: _dlq("list", h, as_json=True),
    "dlq show": lambda h: _dlq("show", h),
    "dlq show --json": lambda h: _dlq("show", h, as_json=True),
    "dlq stats": lambda h: _dlq("stats", h),
    "dlq replay": lambda h: _dlq("replay", h),
    "offsets show": lambda h: _write_rows([Row(h, 0, 0, 1, None, None)], as_json=False),
    "logs as JSON": lambda h: _log("json", h),
    "logs on a console": lambda h: _log("console", h),
    "a traceback as JSON": lambda h: _log("json", h, raised=True),
    "a traceback on a console": lambda h: _log("console", h, raised=True),
    "an error of any verb": _weir_error,
    "rows of a user's file": _user_file,
    "schemas check": _schemas,
    "the demo's view": _live,
    "the demo's view, narrow": lambda h: _live(h, width=100),
    "the demo's view, reasons": _live_reasons,
    "the demo's run": _demo_run,
    "a title": lambda h: print_tables([build_table(("a",), [("b",)], title=h, caption=h)]),
    "a column": lambda h: print_tables([build_table((h,), [("b",)])]),
}


class _Screen(io.StringIO):
    """A stream that says that it is a terminal, or a pipe."""

    def __init__(self, *, terminal: bool) -> None:
        super().__init__()
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


def _shown(view: str, hostile: str, monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> str:
    screen = _Screen(terminal=terminal)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "5000")  # one column next to another cannot be read back when both wrap
    with logging_kept():
        VIEWS[view](hostile)
    return SGR.sub("", screen.getvalue()) if terminal or view.startswith("the demo's") else screen.getvalue()


def logging_kept() -> Any:
    from tests.conftest import logging_restored  # noqa: PLC0415 - a fixture's own

    return logging_restored()


def _acts(character: str) -> bool:
    """What a terminal obeys, or shows nothing for; the newline ends our own lines."""
    return character != "\n" and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def _forms(hostile: str, *, lines: bool) -> set[str]:
    """How an id may stand in an output: escaped for people, or as JSON, or as JSON of what was escaped.

    Errors and tracebacks may have several lines, so there a newline stays one; what follows it is set in.
    """
    forms = {escape(hostile, keep="\n" if lines else ""), to_json(hostile)[1:-1], to_json(escape(hostile))[1:-1]}
    return {BOX.sub("", form) for form in forms}


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize("view", VIEWS)
def test_no_id_acts_on_a_terminal_or_loses_a_part(view: str, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    has_lines = view in {"an error of any verb", "a traceback on a console"}
    for name, hostile in HOSTILE.items():
        shown = _shown(view, hostile, monkeypatch, terminal=terminal)
        assert [hex(ord(character)) for character in shown if _acts(character)] == [], name
        assert any(form in BOX.sub("", shown) for form in _forms(hostile, lines=has_lines)), (name, shown)


@pytest.mark.parametrize("name", HOSTILE)
def test_json_reads_back_as_what_it_was(name: str) -> None:
    assert json.loads(to_json({"id": HOSTILE[name]})) == {"id": HOSTILE[name]}
    assert json.loads(escape_json(json.dumps(HOSTILE[name]))) == HOSTILE[name]


def test_two_ids_that_look_alike_are_told_apart() -> None:
    shown = {escape(f"pay{chr(code)}ment") for code in (0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0x20, 0xA0, 0x2028)}
    assert len(shown) == 8


def test_every_character_there_is_shown_or_written_as_its_code() -> None:
    for code in [*range(0x3000), *range(0xD7B0, 0x10000), *range(0xE0000, 0xE0200)]:
        shown = escape(chr(code))
        assert shown
        assert not any(_acts(character) for character in shown), hex(code)


BUILDS_TABLES = re.compile(r"from rich.table import.*[^A-Za-z_]Table(\.grid)?\(", re.DOTALL)


def test_tables_are_built_in_one_place() -> None:
    """Else a value would be taken for markup again: a progress bar and the live view are told apart by name."""
    allowed = {"monitoring/terminal.py", "monitoring/live_view.py", "training/report.py", "demo.py"}
    users = {name_of(path) for path in product_files() if BUILDS_TABLES.search(path.read_text())}
    assert users <= allowed


@pytest.mark.parametrize("name", HOSTILE)
def test_what_wraps_on_a_narrow_terminal_is_all_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen(terminal=True)
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "20")
    print_tables([build_table(("id",), [(HOSTILE[name],)])])
    assert BOX.sub("", escape(HOSTILE[name])) in BOX.sub("", SGR.sub("", screen.getvalue()))


def test_a_dead_letters_view_is_no_wider_than_its_values_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe has no width: a row is a line, however long its message."""
    screen = _Screen(terminal=False)
    monkeypatch.setattr(sys, "stdout", screen)
    long = dataclasses.replace(letter(), message="expected " + "x" * 900)
    dlq_cli._write(
        argparse.Namespace(json=False), [letter_fields(long, None)] * 3, dlq_cli._LIST_COLUMNS, title="letters"
    )
    assert len(screen.getvalue().splitlines()) == 4
