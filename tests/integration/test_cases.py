"""Cases in both databases: opened, held by one, decided, and their labels kept until they are sent."""

import threading
from contextlib import closing
from functools import partial

import pytest
from sqlalchemy import text

from tests.integration.casework import BURST_MS, DAY_MS, NOW_MS, STREAM, build_desk, review, take
from tests.integration.database import KINDS, create_settings
from weir.cases.case import Conflict, State, Verdict
from weir.cases.desk import Desk, UnknownCase
from weir.cases.erasing import compact, each_key, erase_in_cases
from weir.cases.intake import Intake
from weir.cases.metering import CaseMeter
from weir.cases.outbox import Outbox
from weir.cases.queue import Wanted, read_cursor
from weir.infra.database.engine import open_database
from weir.monitoring.metrics import REGISTRY
from weir.schemas.project import load_shipped
from weir.schemas.streams.payments import payments


@pytest.fixture(params=KINDS)
def settings(request, tmp_path, server_url):
    return create_settings(request.param, tmp_path, server_url)


@pytest.fixture
def engine(settings):
    engine = open_database(settings)
    yield engine
    engine.dispose()


@pytest.fixture
def intake(engine):
    return Intake(engine, stream=STREAM, topic_id="topic", burst_ms=BURST_MS)


@pytest.fixture
def desk(settings):
    with closing(build_desk(settings)) as desk:
        yield desk


def only_case(desk):
    (case,) = desk.page(Wanted()).cases
    return case


def test_a_decision_for_review_is_a_case_once_however_often_it_is_read(intake, desk):
    assert [take(intake, review()), take(intake, review()), take(intake, review(), review())] == [1, 0, 0]
    case = only_case(desk)
    assert (case.key, case.state, case.events, case.expected_loss) == ("c1", State.OPEN, 1, 10.0)
    file = desk.show(case.id)
    assert [decision["transaction_id"] for decision in file.decisions] == ["t1"]
    assert [(act.by, act.act) for act in file.acts] == [("weir", "opened")]


def test_a_burst_of_one_key_is_one_case_and_what_is_far_or_of_another_key_is_not(intake, desk):
    burst = [review(f"t{number}", event_ms=NOW_MS + number * BURST_MS) for number in range(3)]
    assert take(intake, *burst, review("t9", event_ms=NOW_MS + 4 * BURST_MS), review("t1", key="c2")) == 5
    assert sorted((case.key, case.events) for case in desk.page(Wanted()).cases) == [("c1", 1), ("c1", 3), ("c2", 1)]


def test_the_position_is_kept_with_the_cases_and_never_falls(intake, engine):
    assert intake.position(0) is None
    take(intake, review(), end=7)
    take(intake, end=3)
    assert (intake.position(0), intake.position(1)) == (7, None)
    other = Intake(engine, stream=STREAM, topic_id="created again", burst_ms=BURST_MS)
    assert other.position(0) is None


def test_what_is_not_kept_leaves_the_position_where_it_was(intake, desk):
    def die(step):
        if step == "cases_advancing":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        intake.take([review()], {0: 9}, die)
    assert (intake.position(0), desk.page(Wanted()).cases) == (None, [])


def test_two_who_claim_at_once_do_not_both_hold_a_case(settings, intake, desk):
    take(intake, *[review(f"t{number}", key=f"c{number}") for number in range(10)])
    ids = [case.id for case in desk.page(Wanted()).cases]
    told: dict[str, list[str]] = {case_id: [] for case_id in ids}
    begin = threading.Barrier(2)

    def work(by):
        with closing(build_desk(settings)) as own:
            begin.wait()
            for case_id in ids:
                try:
                    own.claim(case_id, by)
                    told[case_id].append(by)
                except Conflict:
                    pass

    threads = [threading.Thread(target=work, args=(by,)) for by in ("anna", "ben")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {case_id: [desk.show(case_id).case.holder] for case_id in ids} == told


def test_a_verdict_waits_as_a_label_of_each_event_and_a_correction_as_the_next(intake, desk, engine):
    take(intake, review("t1"), review("t2"), review("t3", label=False))
    case = only_case(desk)
    desk.claim(case.id, "anna")
    closed = desk.decide(case.id, "anna", Verdict.FRAUD, "the customer called")
    assert desk.decide(case.id, "anna", Verdict.FRAUD, "the customer called") == closed
    outbox = Outbox(engine, stream=STREAM)
    first = outbox.read()
    assert [(each.event_id, each.version, each.label["is_fraud"]) for each in first] == [
        ("t1", 1, True),
        ("t2", 1, True),
    ]
    assert {each.label["label_time_ms"] for each in first} == {closed.verdict_ms}
    outbox.mark(first, at_ms=NOW_MS)
    desk.decide(case.id, "ben", Verdict.LEGITIMATE, "a receipt")
    withdrawn = desk.decide(case.id, "ben", Verdict.UNSURE, "the receipt is not his")
    second = outbox.read()
    assert [(each.version, each.label["is_fraud"]) for each in second] == [(2, False)] * 2 + [(3, None)] * 2
    assert second[-1].label["label_time_ms"] == withdrawn.verdict_ms > closed.verdict_ms
    assert desk.show(case.id).unlabelled == ["t3"]
    assert outbox.count()[0] == 4


def test_an_unsure_verdict_closes_and_says_nothing(intake, desk, engine):
    take(intake, review())
    case = only_case(desk)
    desk.claim(case.id, "anna")
    assert desk.decide(case.id, "anna", Verdict.UNSURE, "no answer").state == State.CLOSED
    assert Outbox(engine, stream=STREAM).read() == []


def test_what_comes_after_a_verdict_is_another_case(intake, desk):
    take(intake, review())
    case = only_case(desk)
    desk.claim(case.id, "anna")
    desk.decide(case.id, "anna", Verdict.FRAUD, "called")
    take(intake, review("t2"))
    assert sorted(case.state for case in desk.page(Wanted()).cases) == ["closed", "open"]


def test_the_queue_is_costliest_first_in_pages_without_holes(intake, desk):
    losses = [3.5, 1.0, 2.0, 2.0, 1e12 + 0.1, 0.0, 2.0]
    take(intake, *[review(f"t{n}", key=f"c{n}", loss=loss) for n, loss in enumerate(losses)])
    found, cursor = [], None
    while True:
        page = desk.page(Wanted(limit=2, after=None if cursor is None else read_cursor(cursor)))
        found += page.cases
        cursor = page.cursor
        if cursor is None:
            break
    assert [case.expected_loss for case in found] == sorted(losses, reverse=True)
    assert len({case.id for case in found}) == len(losses)


def test_the_queue_is_filtered(intake, desk):
    take(intake, *[review(f"t{number}", key=f"c{number}") for number in range(3)])
    held, closed, _ = (case.id for case in desk.page(Wanted()).cases)
    for case_id in (held, closed):
        desk.claim(case_id, "anna")
    desk.decide(closed, "anna", Verdict.FRAUD, "called")

    def ids(**wanted):
        return {case.id for case in desk.page(Wanted(**wanted)).cases}

    assert ids(states=frozenset({State.CLAIMED})) == {held}
    assert ids(holder="anna") == {held, closed}
    assert ids(verdict=Verdict.FRAUD) == {closed}
    assert len(ids(key="c1")) == 1


def test_notes_and_what_was_done_are_kept_in_order(intake, desk):
    take(intake, review())
    case = only_case(desk)
    desk.claim(case.id, "anna")
    desk.note(case.id, "ben", "the shop is known")
    desk.release(case.id, "anna")
    acts = [(act.by, act.act, act.text) for act in desk.show(case.id).acts]
    assert acts[1:] == [("anna", "claimed", None), ("ben", "note", "the shop is known"), ("anna", "released", None)]


def test_another_streams_case_is_unknown(settings, intake, desk):
    take(intake, review())
    case = only_case(desk)
    clicks = load_shipped("clicks").stream
    with closing(build_desk(settings, clicks)) as other:
        assert other.page(Wanted()).cases == []
        for change in (lambda: other.show(case.id), lambda: other.claim(case.id, "ben")):
            with pytest.raises(UnknownCase):
                change()
    assert desk.show(case.id).case.holder is None


def test_any_text_is_an_id(intake, desk):
    odd = ["a\0b", "a\\0b", "\\", "a\x01b", "é\u202e", "'; DROP TABLE cases; --"]
    assert take(intake, *[review(event_id, key=event_id) for event_id in odd]) == len(odd)
    assert take(intake, *[review(event_id, key=event_id) for event_id in odd]) == 0
    assert sorted(case.key for case in desk.page(Wanted()).cases) == sorted(odd)
    assert [case.key for case in desk.page(Wanted(key=odd[0])).cases] == [odd[0]]


def test_a_database_of_the_release_before_keeps_its_keys_and_gets_cases(settings):
    from weir.access.store import KeyStore  # noqa: PLC0415

    engine = open_database(settings)
    with engine.begin() as connection:
        row = "INSERT INTO api_keys (id, hash, name, scopes, streams, created_ms, created_by) VALUES "
        connection.execute(text(row + "('0123abcd', :hash, 'till', 'score', '', 1, 'ops')"), {"hash": b"x" * 32})
        for table in ("label_outbox", "case_positions", "case_acts", "case_links", "case_events", "cases"):
            connection.execute(text(f"DROP TABLE {table}"))
        for column in ("rate_per_second", "burst", "revoked_by"):
            connection.execute(text(f"ALTER TABLE api_keys DROP COLUMN {column}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    engine.dispose()
    with closing(KeyStore(open_database(settings))) as store:
        assert [key.name for key in store.list_keys()] == ["till"]
    with closing(build_desk(settings)) as desk:
        assert desk.page(Wanted()).cases == []


def test_the_cases_of_a_key_are_erased_with_what_waits_and_other_texts_lose_the_id(engine, intake, desk, settings):
    asks, other = review("t1", "who-asks"), review("t2", "another", event_ms=NOW_MS + 9 * BURST_MS)
    later = review("t3", "who-asks", event_ms=NOW_MS + DAY_MS)
    take(intake, asks, other, later, end=3)
    mine, new = sorted(desk.page(Wanted(key="who-asks")).cases, key=lambda case: case.opened_ms)
    (left,) = desk.page(Wanted(key="another")).cases
    for case in (mine, left):
        desk.note(case.id, "ann", "who-asks called, and not who-asks-too")
        desk.claim(case.id, "ann")
        desk.decide(case.id, "ann", Verdict.FRAUD, "said who-asks")
    assert erase_in_cases(engine, STREAM, "who-asks", is_key=True, until_ms=NOW_MS + BURST_MS * 20) == (1, 3)
    compact(engine)
    assert [case.id for case in desk.page(Wanted(key="who-asks")).cases] == [new.id]
    with pytest.raises(UnknownCase):
        desk.show(mine.id)
    texts = [act.text for act in desk.show(left.id).acts if act.text]
    assert all("who-asks" not in text.replace("who-asks-too", "") for text in texts)
    assert any("who-asks-too" in text for text in texts)
    assert [waiting.event_id for waiting in Outbox(engine, stream=STREAM).read()] == ["t2"]
    assert erase_in_cases(engine, STREAM, "who-asks", is_key=True, until_ms=NOW_MS + BURST_MS * 20) == (0, 0)
    assert set(each_key(engine, STREAM)) == {"who-asks", "another"}
    if engine.dialect.name == "sqlite":
        erase_in_cases(engine, STREAM, "who-asks", is_key=True, until_ms=NOW_MS + 2 * DAY_MS)
        compact(engine)
        content = b"".join(path.read_bytes() for path in settings.home.glob("weir.db*"))
        assert content.count(b"who-asks") == content.count(b"who-asks-too") > 0


def test_the_metrics_say_how_many_wait_for_how_long_and_how_long_verdicts_took(settings, engine, intake):
    clock = [NOW_MS]
    meter = CaseMeter(
        engine, stream=STREAM, label="metered", monotonic=lambda: clock[0] / 1_000, now_ms=lambda: clock[0]
    )

    def sample(name, **labels):
        return REGISTRY.get_sample_value(name, {"stream": "metered", **labels})

    with closing(Desk(partial(open_database, settings), payments, lambda: clock[0])) as desk:
        take(intake, review("t1"), review("t2", key="c2"), review("t3", key="c3"))
        mine = desk.page(Wanted()).cases[0]
        desk.claim(mine.id, "ana")
        clock[0] += 60_000
        meter.look()
        assert sample("weir_cases_undecided", state="open") == 2
        assert sample("weir_cases_undecided", state="claimed") == 1
        assert sample("weir_case_oldest_seconds") == pytest.approx(60, abs=1)
        before = sample("weir_case_verdict_seconds_count", verdict="fraud") or 0

        desk.decide(mine.id, "ana", Verdict.FRAUD, "looks like it")
        meter.look()
        assert sample("weir_cases_undecided", state="claimed") == 1  # it is not time to look again
        clock[0] += 60_000
        meter.look()
        assert sample("weir_cases_undecided", state="claimed") == 0
        assert sample("weir_case_verdict_seconds_count", verdict="fraud") == before + 1
        assert sample("weir_case_labels_waiting") == 1
        assert sample("weir_case_labels_oldest_seconds") == pytest.approx(60, abs=1)
        clock[0] += 60_000
        meter.look()
        assert sample("weir_case_verdict_seconds_count", verdict="fraud") == before + 1  # each is counted once
