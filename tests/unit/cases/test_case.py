import pytest

from weir.cases.case import Case, Conflict, Review, State, Verdict, add_review, claim, decide, joins, open_case, release

AT = 1_767_268_800_000


def review(event_id="t1", event_ms=AT, loss=10.0):
    return Review("c1", event_id, event_ms, event_ms + 40, loss, {}, {})


def case(**given):
    made = open_case("ab12", "transactions", review())
    return Case(**{**vars(made), **given})


def test_a_decision_opens_a_case_that_its_neighbours_join():
    opened = open_case("ab12", "transactions", review())
    assert (opened.state, opened.opened_ms, opened.newest_ms, opened.events) == (State.OPEN, AT + 40, AT, 1)
    later = review("t2", AT + 1_000, 5.0)
    assert joins(opened, later, burst_ms=1_000)
    assert not joins(opened, later, burst_ms=999)
    joined = add_review(opened, later)
    assert (joined.newest_ms, joined.expected_loss, joined.events) == (AT + 1_000, 15.0, 2)
    assert joins(joined, review("t0", AT), burst_ms=1_000)  # a late one, too
    assert add_review(joined, review("t0", AT)).newest_ms == AT + 1_000


def test_nothing_joins_a_case_that_has_a_verdict():
    assert not joins(case(state=State.CLOSED), review("t2"), burst_ms=1_000)


def test_one_holds_a_case_and_may_say_so_twice():
    held = claim(case(), "anna")
    assert (held.state, held.holder) == (State.CLAIMED, "anna")
    assert claim(held, "anna") == held
    for change in (lambda: claim(held, "ben"), lambda: release(held, "ben")):
        with pytest.raises(Conflict, match="somebody else") as refused:
            change()
        assert refused.value.code == "case_held"
    assert release(held, "anna") == release(held, "ben", force=True) == case()


@pytest.mark.parametrize("change", [claim, release])
def test_a_closed_case_is_neither_claimed_nor_released(change):
    with pytest.raises(Conflict, match="closed"):
        change(case(state=State.CLOSED, holder="anna"), "anna")


def test_a_verdict_needs_a_claim_and_closes():
    with pytest.raises(Conflict, match="claimed"):
        decide(case(), "anna", Verdict.FRAUD, "called", at_ms=AT)
    held = claim(case(), "anna")
    with pytest.raises(Conflict, match="somebody else"):
        decide(held, "ben", Verdict.FRAUD, "called", at_ms=AT)
    closed = decide(held, "anna", Verdict.FRAUD, "called", at_ms=AT)
    assert (closed.state, closed.version, closed.verdict_ms, closed.closed_ms) == (State.CLOSED, 1, AT, AT)


def test_a_verdict_that_is_given_again_is_the_same_and_another_is_the_next_version():
    closed = decide(claim(case(), "anna"), "anna", Verdict.FRAUD, "called", at_ms=AT)
    assert decide(closed, "anna", Verdict.FRAUD, "called", at_ms=AT + 9) == closed
    again = decide(closed, "ben", Verdict.LEGITIMATE, "receipt", at_ms=AT + 9)
    assert (again.version, again.holder, again.verdict_ms, again.closed_ms) == (2, "ben", AT + 9, AT)


def test_the_time_of_a_correction_is_newer_whatever_the_clock_says():
    closed = decide(claim(case(), "anna"), "anna", Verdict.FRAUD, "called", at_ms=AT)
    assert decide(closed, "anna", Verdict.LEGITIMATE, "receipt", at_ms=AT - 5_000).verdict_ms == AT + 1
