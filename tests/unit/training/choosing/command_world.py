"""``weir models`` on bundles in a folder and a log in memory; gates pass as a test says."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.inference.bundles import write_bundle
from tests.unit.inference.published.acts import build_act, log_act
from weir.inference.model_store import read_published
from weir.inference.published.content import ContentReader
from weir.inference.published.gate import Gate
from weir.inference.published.log import PublishedLog
from weir.inference.published.settle import Settler
from weir.inference.rule_sets import read_rules
from weir.infra.settings import Settings
from weir.schemas.streams.payments import payments
from weir.training.choosing import cli, publishing

PASSED, FAILED = Gate("one", True, "1", "1"), Gate("other", False, "not measured: no history", "rows")


class Publisher:
    """What is published, in memory."""

    def __init__(self, acts: list[Any] | None = None, who: str = "ada", why: str = "a test") -> None:
        self.acts = [] if acts is None else acts
        self.who, self.why = who, why
        self.published = SimpleNamespace(look=lambda: None)

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    @property
    def log(self) -> PublishedLog:
        log = PublishedLog()
        for place, act in enumerate(self.acts):
            log.take(log_act(act, place))
        return log

    @property
    def _settler(self) -> Settler:
        contents = ContentReader(payments, lambda _: [], read_rules, partial(read_published, payments))
        settler = Settler(contents.build, lambda *_: None)
        settler.settle(self.log)
        return settler

    @property
    def standing(self) -> Any:
        return self._settler.standing

    @property
    def refused(self) -> Any:
        return self._settler.refused

    def read_text(self, kind: Any, content: str) -> str:
        return str(self.log.steps(kind, content)[-1].act.text)

    def publish(self, kind: Any, texts: list[str], label: str) -> Any:
        self.acts.append(
            build_act(kind, texts[0], label=label, who=self.who, why=self.why, after=self.log.newest_id(kind))
        )
        return self.acts[-1]

    def roll_back(self, kind: Any, content: str) -> Any:
        self.acts.append(build_act(kind, None, hash=content, label=self.log.version(kind, content)))
        return self.acts[-1]


class World:
    def __init__(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(home=home)
        self.kept: list[Path] = []
        self.publisher = Publisher()
        self.gates = [PASSED]
        monkeypatch.setattr(cli, "_run_gates", lambda *_: self.gates)
        monkeypatch.setattr(
            publishing, "Publisher", lambda _, __, who, why: Publisher(self.publisher.acts, who=who, why=why)
        )
        for version in ("one", "two", "three"):
            write_bundle(self.settings.models_dir / f"tiny-{version}", version=version)

    def keep(self, _: Settings, folder: Path) -> bool:
        self.kept.append(folder)
        return True

    def run(self, *argv: str) -> int:
        arguments = cli.build_parser().parse_args(argv)
        arguments.settings, arguments.archive = self.settings, self
        command: Any = arguments.command
        return int(command(arguments, self.publisher))

    def versions(self) -> list[tuple[str, str]]:
        return [(act.action, act.version) for act in self.publisher.acts]
