"""A stream without labels runs before anybody has a model for it: its lists and rules decide, and decisions say so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.inference.bundles import link_champion, write_bundle
from weir.inference.champion import POLL_SECONDS, Champion
from weir.inference.core.rules import describe_condition
from weir.inference.core.vector import NO_MODEL
from weir.inference.inspect import cli as inspect
from weir.inference.processes import describe_running
from weir.inference.rule_sets import rules_of
from weir.infra.settings import ScorerSettings, Settings
from weir.schemas.errors import Refused
from weir.schemas.expression import col
from weir.schemas.rules import Rule
from weir.schemas.stream import Stream
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.schemas.streams.transfers import transfers

BURST = Rule("burst", "REVIEW", (col("customer_event_count_1m") >= 30) & (col("click_hour") < 6), "a script")
RULED = replace(clicks, rules=[BURST])


def _settings(home: Path, stream: Stream = RULED) -> Settings:
    return Settings(home=home).of_stream(stream)


def _own_bundle(home: Path, **changes: Any) -> None:
    folder = home / "models" / clicks.name
    bundle = write_bundle(
        folder / "tiny-1",
        names=clicks.feature_names,
        weights={},
        declarations_hash=clicks.declarations_hash,
        reference=[0.0] * len(clicks.feature_names),
        **changes,
    )
    (folder / "champion").symlink_to(bundle)


def test_a_stream_without_labels_starts_without_a_bundle_and_gives_no_score(tmp_path: Path) -> None:
    champion = Champion(_settings(tmp_path))
    assert champion.bundle.lacking == (NO_MODEL,)
    assert champion.bundle.names == clicks.feature_names
    scores = champion.bundle.score(np.zeros((3, len(clicks.feature_names)), np.float32))
    assert scores.shape == (3,)
    assert np.isnan(scores).all()
    running = describe_running(champion, started_ms=0, now_ms=1)
    assert (running["model"], running["declarations_hash"]) == ("none", clicks.declarations_hash)


def test_a_bundle_that_is_brought_along_later_is_taken_over_and_stays_when_its_link_vanishes(tmp_path: Path) -> None:
    now = [0.0]
    champion = Champion(_settings(tmp_path), monotonic=lambda: now[0])
    _own_bundle(tmp_path)
    now[0] += POLL_SECONDS
    assert champion.poll()
    assert (champion.bundle.manifest.name, champion.bundle.lacking) == ("tiny", ())
    (tmp_path / "models" / clicks.name / "champion").unlink()
    now[0] += POLL_SECONDS
    assert not champion.poll()
    assert champion.bundle.manifest.name == "tiny"


def test_a_bundle_of_the_payments_is_no_bundle_of_another_stream(tmp_path: Path) -> None:
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    assert Champion(_settings(tmp_path)).bundle.manifest.name == "none"


def test_a_broken_bundle_is_refused_although_none_would_do(tmp_path: Path) -> None:
    _own_bundle(tmp_path, model_sha256="0" * 64)
    with pytest.raises(Refused, match=r"expected model\.onnx with sha256"):
        Champion(_settings(tmp_path))


def test_a_bundle_that_is_asked_for_has_to_be_there(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    scorer = settings.scorer.model_copy(update={"bundle_dir": tmp_path / "mine"})
    with pytest.raises(Refused, match=r"expected manifest\.json, found none; bring your own"):
        Champion(settings.model_copy(update={"scorer": scorer}))


def test_a_stream_with_labels_names_the_command_that_makes_its_model(tmp_path: Path) -> None:
    labelled = replace(transfers, labels=payments.labels)
    with pytest.raises(Refused, match="train one with `weir train --stream transfers`, or bring your own"):
        Champion(_settings(tmp_path, labelled))


def test_a_stream_with_labels_begins_by_its_rules_where_its_operator_says_so(tmp_path: Path) -> None:
    settings, now = Settings(home=tmp_path, scorer=ScorerSettings(without_model=True)), [0.0]
    champion = Champion(settings, monotonic=lambda: now[0])
    assert list(champion.bundle.lacking) == [NO_MODEL]
    assert len(champion.rules.rules) == 3
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    now[0] += POLL_SECONDS
    assert champion.poll()
    assert champion.bundle.lacking == ()


def test_each_stream_has_lists_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "lists.json").write_text(json.dumps({"block": {"card": ["c"]}}))
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "clicks.json").write_text(json.dumps({"version": "a", "block": {"customer": ["x"]}}))
    champion = Champion(_settings(tmp_path))
    assert champion.lists.version == "a"
    assert champion.lists.kinds == {"customer"}


def test_declared_rules_are_those_that_decide_and_their_version_follows_what_they_say() -> None:
    (rule,) = rules_of(RULED).rules
    assert (rule.name, rule.then, rule.code) == ("burst", "REVIEW", "BURST")
    assert describe_condition(rule) == "customer_event_count_1m >= 30 and click_hour < 6"
    raised = replace(clicks, rules=[replace(BURST, when=col("customer_event_count_1m") >= 31)])
    versions = {rules_of(stream).version for stream in (clicks, RULED, raised)}
    assert len(versions) == 3
    assert RULED.declarations_hash == clicks.declarations_hash


def test_a_stream_that_bears_the_payments_name_decides_by_its_own_declarations(tmp_path: Path) -> None:
    own = replace(payments, rules=[Rule("large", "REVIEW", col("transaction_amount") > 1, "too much")])
    settings = Settings(home=tmp_path).of_stream(own)
    assert settings.stream is own
    assert settings.topics == Settings().topics
    assert settings.models_dir == tmp_path / "models"
    assert [rule.name for rule in rules_of(settings.stream).rules] == ["large"]


def test_what_is_in_force_is_shown_where_there_is_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_REDIS__URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("weir.inference.published.follow.SHOW_SECONDS_MAX", 0.2)
    assert inspect.main(["inspect", "model", "--stream", "clicks", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["champion"]["name"], shown["rules_version"], shown["bundles"]) == ("none", "none", [])
    assert "redis" in shown["processes_unknown"]
    assert "kafka" in shown["published_unknown"]
