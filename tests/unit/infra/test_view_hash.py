"""Which settings make another view in Redis: the placeholder ids, and nothing else that shapes no state."""

from __future__ import annotations

from typing import Any

import pytest

from tests.payments import DECLARATIONS_HASH
from weir.infra.redis.state_view import StateView
from weir.infra.redis.unit import Unit
from weir.infra.settings import Settings, load_settings
from weir.schemas.errors import Refused


def _prefix(settings: Settings) -> str:
    client: Any = None  # a prefix asks no server
    view = StateView(
        client,
        cluster=settings.cluster,
        group=settings.processor.group,
        topic_ids={"t": "topic"},
        declarations_hash=settings.declarations_hash,
    )
    return view.prefix(Unit("t", 0))


def _load(**environ: str) -> Settings:
    return load_settings({"WEIR_HOME": "nowhere", **environ})


def test_a_placeholder_that_is_added_makes_another_view() -> None:
    plain = _prefix(_load())
    one, two = (_prefix(_load(WEIR_PLACEHOLDER_IDS=ids)) for ids in ('["a"]', '["a", "b"]'))
    assert len({plain, one, two}) == 3
    assert _load().declarations_hash == DECLARATIONS_HASH


@pytest.mark.parametrize("ids", ["[]", '["null", " N/A "]'])
def test_a_list_that_adds_nothing_makes_no_other_view(ids: str) -> None:
    assert _prefix(_load(WEIR_PLACEHOLDER_IDS=ids)) == _prefix(_load())


def test_order_case_and_blanks_of_the_list_make_no_other_view() -> None:
    one, same = (_load(WEIR_PLACEHOLDER_IDS=ids) for ids in ('["a", "b"]', '["B ", "A", "a"]'))
    assert _prefix(one) == _prefix(same)


@pytest.mark.parametrize(
    ("name", "value"),
    [("WEIR_PROCESSOR__LINGER_MS", "7"), ("WEIR_REDIS__TIMEOUT_SECONDS", "3"), ("WEIR_TOPICS__RETENTION_DAYS", "61")],
)
def test_no_other_setting_makes_another_view(name: str, value: str) -> None:
    assert _prefix(_load(**{name: value})) == _prefix(_load())


@pytest.mark.parametrize("ids", ["null,none", '"null"', "[1]", '[""]', "{}", "["])
def test_what_is_no_list_of_ids_is_refused(ids: str) -> None:
    with pytest.raises(Refused, match="setting WEIR_PLACEHOLDER_IDS: expected a JSON list of texts"):
        _load(WEIR_PLACEHOLDER_IDS=ids)
