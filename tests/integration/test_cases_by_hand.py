"""What people do with cases that no decision asked for, in both databases: they open one, and link it to others."""

import threading
from contextlib import closing

import pytest

from tests.integration.casework import BURST_MS, DAY_MS, NOW_MS, STREAM, build_desk, review, take
from tests.integration.database import KINDS, create_settings
from weir.cases.case import State, Verdict
from weir.cases.desk import UnknownEvent
from weir.cases.erasing import compact, each_key, erase_in_cases
from weir.cases.intake import Intake
from weir.cases.outbox import Outbox
from weir.cases.queue import Wanted
from weir.infra.database.engine import open_database


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


def test_an_analyst_opens_a_case_once_and_what_the_follower_reads_later_is_in_it(settings, intake, engine):
    near, far = review("t2", event_ms=NOW_MS + BURST_MS), review("t3", event_ms=NOW_MS + 3 * BURST_MS)
    with closing(build_desk(settings, known=[review(), near, far])) as desk:
        added = desk.open("t1", "anna", "the customer called")
        assert (added.is_new, added.case.state, desk.open("t1", "ben", "again").is_new) == (True, State.OPEN, False)
        assert take(intake, review(), near, far) == 2
        assert [case.events for case in desk.page(Wanted(event="t2")).cases] == [2]
        desk.claim(added.case.id, "anna")
        desk.decide(added.case.id, "anna", Verdict.FRAUD, "called")
        labels = [waiting.event_id for waiting in Outbox(engine, stream=STREAM).read()]
        assert labels == ["t1", "t2"]
        closed = desk.open("t1", "ben", "once more")
        assert (closed.is_new, closed.case.verdict) == (False, Verdict.FRAUD)
        with pytest.raises(UnknownEvent):
            desk.open("t404", "ben", "no such event")


def test_a_follower_and_analysts_that_meet_at_one_key_make_one_case(settings, engine):
    burst = [review(f"t{number}", event_ms=NOW_MS + number) for number in range(24)]
    begin = threading.Barrier(3)

    def follow():
        own = Intake(engine, stream=STREAM, topic_id="topic", burst_ms=BURST_MS)
        begin.wait()
        for number, each in enumerate(burst):
            take(own, each, end=number + 1)

    def ask(events):
        with closing(build_desk(settings, known=burst)) as own:
            begin.wait()
            for each in events:
                own.open(each.event_id, "anna", "called")

    threads = [
        threading.Thread(target=follow),
        *(threading.Thread(target=ask, args=(part,)) for part in (burst, burst[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(build_desk(settings)) as desk:
        assert [(case.events, case.expected_loss) for case in desk.page(Wanted()).cases] == [(24, 240.0)]


def test_links_to_events_of_a_key_are_erased_with_what_the_history_says_of_them(engine, intake, settings):
    take(intake, review("t1", "c1"), review("t2", "c2"))
    gone = review("event-of-who-asks", "who-asks", card_id="who-asks")
    known = [gone, review("t2", "c2"), review("event-too", "c3")]
    with closing(build_desk(settings, known=known)) as desk:
        (mine,) = desk.page(Wanted(key="c1")).cases
        desk.link(mine.id, "event-of-who-asks", "ann", "one device with who-asks")
        desk.link(mine.id, "t2", "ann", "who-asks was here")
        desk.link(mine.id, "event-too", "ann", "near")
        desk.unlink(mine.id, "event-of-who-asks", "ann")
        ((case_id, link),) = desk.show_links_to("who-asks", until_ms=NOW_MS + DAY_MS)
        assert (case_id, link.decision["card_id"]) == (mine.id, "who-asks")
        assert set(each_key(engine, STREAM)) == {"c1", "c2", "c3", "who-asks"}
        # the link, and of what is left two acts that name the id and one reason
        assert erase_in_cases(engine, STREAM, "who-asks", is_key=True, until_ms=NOW_MS + DAY_MS) == (1, 3)
        compact(engine)
        assert desk.show_links_to("who-asks", until_ms=NOW_MS + DAY_MS) == []
        file = desk.show(mine.id)
        assert {link.event_id: "who-asks" in link.reason for link in file.links} == {"t2": False, "event-too": False}
        told = [act.text for act in file.acts if act.text]
        assert [text.partition(": ")[0].partition("-")[0] for text in told] == ["erased", "t2", "event", "erased"]
        assert not [text for text in told if "who-asks" in text]
        assert erase_in_cases(engine, STREAM, "c1", is_key=True, until_ms=NOW_MS + DAY_MS) == (1, 0)
    if engine.dialect.name == "sqlite":
        compact(engine)
        content = b"".join(path.read_bytes() for path in settings.home.glob("weir.db*"))
        assert b"who-asks" not in content
        assert b"event-too" not in content
