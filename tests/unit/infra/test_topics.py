"""What makes a topic unfit, without a broker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.payments import DAY_MS
from weir.infra.kafka.topics import TopicPlan, TopicState, compute_remembered_ms, find_faults, plan_topics
from weir.infra.settings import TopicSettings
from weir.schemas.streams.clicks import clicks
from weir.schemas.streams.payments import payments
from weir.schemas.streams.transfers import transfers

RETENTION_MS_MIN = compute_remembered_ms(payments)
PLANS = plan_topics(TopicSettings())


def _states(**changes: tuple[str, str]) -> dict[str, TopicState]:
    """Topics as `weir topics create` makes them, one option of one topic changed."""
    states = {}
    for plan in PLANS:
        config = {"retention.bytes": "-1", "retention.ms": "-1"} | plan.config(60)
        if plan.name in changes:
            option, value = changes[plan.name]
            config[option] = value
        states[plan.name] = TopicState(plan.partitions, config)
    return states


def test_topics_made_by_the_plan_have_no_fault() -> None:
    assert list(find_faults(PLANS, _states())) == []


def test_the_least_retention_is_the_look_back_with_its_hold_and_a_week() -> None:
    assert RETENTION_MS_MIN == (30 + 7 + 7) * DAY_MS


@pytest.mark.parametrize("topic", ["transactions", "labels", "transactions.dlq", "labels.dlq", "features.dlq"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("message.timestamp.type", "CreateTime"),
        ("cleanup.policy", "compact"),
        ("cleanup.policy", "compact,delete"),
        ("retention.ms", str(RETENTION_MS_MIN - 1)),
        ("retention.bytes", "1000000"),
    ],
)
def test_a_log_that_cannot_be_rebuilt_from_is_one_fault_that_names_the_mend(
    topic: str, option: str, value: str
) -> None:
    (fault,) = find_faults(PLANS, _states(**{topic: (option, value)}))
    assert fault.topic == topic
    assert f"found {value}" in fault.finding.found
    assert "`weir topics repair`" in fault.finding.fix
    assert fault.config is not None
    assert fault.config[0] == option


def test_a_missing_topic_is_named_with_the_verb_that_makes_it() -> None:
    states = _states()
    del states["labels"]
    faults = [str(fault.finding) for fault in find_faults(PLANS, states)]
    assert faults == ["expected topic labels, found none; `weir topics create` makes it"]


def test_dead_letters_need_a_partition_for_each_of_their_source() -> None:
    states = _states()
    states["transactions"] = TopicState(8, states["transactions"].config)
    (fault,) = find_faults(PLANS, states)
    assert "transactions.dlq to have the 8 partitions" in fault.finding.found


def test_a_dead_letter_topic_must_hold_more_than_the_largest_record_of_its_source() -> None:
    states = _states(**{"transactions.dlq": ("max.message.bytes", "16777216")})
    (fault,) = find_faults(PLANS, states)
    assert "max.message.bytes" in fault.finding.found


def test_the_memory_of_replays_is_compacted_for_ever() -> None:
    states = _states(**{"transactions.dlq.done": ("cleanup.policy", "delete")})
    (fault,) = find_faults(PLANS, states)
    assert "cleanup.policy=compact" in fault.finding.found


def test_topics_that_nothing_is_rebuilt_from_may_be_kept_as_short_as_their_owner_likes() -> None:
    assert list(find_faults(PLANS, _states(decisions=("retention.ms", "1000")))) == []


def test_every_topic_setting_has_a_plan() -> None:
    names = {value for value in TopicSettings().model_dump().values() if isinstance(value, str)}
    assert {plan.name for plan in PLANS} == names


def test_a_plan_keeps_a_log_as_long_as_it_is_told() -> None:
    assert TopicPlan("t", 1).config(60)["retention.ms"] == str(60 * DAY_MS)


def test_another_stream_has_topics_of_its_own_and_none_of_labels_that_it_does_not_have() -> None:
    topics = TopicSettings(features="rows", partitions=7)
    names = [plan.name for plan in plan_topics(topics, [payments, transfers])]
    assert names == [
        "transactions", "labels", "rows", "decisions",
        "transfers", "transfers.features", "transfers.decisions",
        "transactions.dlq", "labels.dlq", "features.dlq",
        "transfers.dlq", "transfers.features.dlq",
        "transactions.dlq.done", "transfers.dlq.done",
        "transactions.published", "transfers.published", "weir.audit",
    ]  # fmt: skip
    own = [plan.name for plan in plan_topics(topics, [transfers])]
    assert own == [*(name for name in names if "transfers" in name), "weir.audit"]


def test_the_audit_log_is_made_with_the_others_and_nobody_is_refused_without_it() -> None:
    (plan,) = [plan for plan in PLANS if plan.name == "weir.audit"]
    assert (plan.partitions, plan.config(60)["cleanup.policy"]) == (1, "delete")
    states = _states()
    del states["weir.audit"]
    assert list(find_faults(PLANS, states)) == []


def test_the_shipped_clicks_have_the_topic_of_their_name_as_an_input() -> None:
    (plan,) = [plan for plan in plan_topics(TopicSettings(), [payments, clicks]) if plan.name == "clicks"]
    assert plan.remembers_ms == compute_remembered_ms(clicks)


def test_each_stream_is_kept_for_as_long_as_it_looks_back() -> None:
    far = replace(transfers, features=[transfers.key.event.count("90d")], values=[])
    (log,) = [plan for plan in plan_topics(TopicSettings(), [far]) if plan.name == "transfers"]
    assert log.remembers_ms == (90 + 7) * DAY_MS
    short = TopicState(4, {"retention.bytes": "-1"} | log.config(96))
    (fault,) = find_faults([log], {log.name: short})
    assert fault.config == ("retention.ms", str(97 * DAY_MS))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("message.timestamp.type", "CreateTime"),
        ("cleanup.policy", "compact"),
        ("retention.ms", str(RETENTION_MS_MIN)),
        ("retention.bytes", "1000000"),
    ],
)
def test_a_topic_that_would_forget_what_was_published_is_one_fault(option: str, value: str) -> None:
    (fault,) = find_faults(PLANS, _states(**{"transactions.published": (option, value)}))
    assert fault.config is not None
    assert fault.config[0] == option
    assert f"found {value}" in fault.finding.found


def test_a_deployment_of_before_that_has_no_such_topic_yet_has_no_fault() -> None:
    states = _states()
    del states["transactions.published"]
    assert list(find_faults(PLANS, states)) == []


def test_a_topic_that_a_broker_made_by_itself_is_given_its_second_partition() -> None:
    states = _states()
    states["transactions.published"] = replace(states["transactions.published"], partitions=1)
    (fault,) = find_faults(PLANS, states)
    assert fault.partitions == 2
