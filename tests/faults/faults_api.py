"""Processes of the API, killed while clients wait for decisions."""

from __future__ import annotations

from tests.faults.api_steps import API_STEPS
from tests.faults.askers import Addresses, Askers, asking, judge_answers
from tests.faults.catalogue import fault
from tests.faults.lab import Lab, Plan
from tests.faults.workers import Worker, await_true

REQUESTS_MAX = 20
"""The step that kills is that of one of so many requests: with six clients, others wait at other steps meanwhile."""

BATCHES = 3


def _serve(lab: Lab, addresses: Addresses, kill_at: str = "") -> Worker:
    api = lab.crew.start("weir", arguments=("serve", "--port", "0"), kill_at=kill_at, mutant=lab.plan.mutant)
    addresses.add(api)
    return api


def _lose(lab: Lab, addresses: Addresses, askers: Askers, api: Worker, *, kill: bool) -> None:
    """Have an API die, by itself or by our hand, and see that somebody waited for it."""
    cut = askers.cut
    if kill:
        await_true(lambda: api.count("published") > api.count("found"), "a request that waits")
        api.kill()
    api.await_death()
    addresses.remove(api)
    lab.times += 1
    await_true(lambda: askers.cut > cut or bool(askers.problems), "a client whose answer is lost")


@fault(
    "kill-api-waiting",
    "kill -9 of API processes at each step of requests that wait for a decision, next to `weir run` that is killed too",
    Plan(rate=100),
)
def kill_api_waiting(lab: Lab) -> None:
    lab.aborts_expected = True
    scorer, fused, addresses = lab.scorer(), lab.fused(), Addresses()
    steady = _serve(lab, addresses)
    with asking(lab, addresses) as askers:
        for number in range(max(len(API_STEPS), lab.kills)):
            step = API_STEPS[number % len(API_STEPS)]
            doomed = _serve(lab, addresses, f"{step}:{lab.random.randrange(1, REQUESTS_MAX)}")
            _lose(lab, addresses, askers, doomed, kill=False)
            if step == API_STEPS[-1]:  # nobody is left to ask for a moment, and decisions are made that nobody sees
                _lose(lab, addresses, askers, steady, kill=True)
                steady = _serve(lab, addresses)
                fused = _replace_fused(lab, fused)
    lab.recoveries += askers.recoveries
    lab.problems += askers.problems
    steady.stop()
    lab.finish([fused, scorer])
    judge_answers(lab, askers.asked)


def _replace_fused(lab: Lab, fused: Worker) -> Worker:
    """Have some take over that die with decisions in an open transaction, and then one that stays.

    What clients wait for is in the first batches; which of those has decisions depends on the partition that is first.
    """
    fused.stop()
    for number in range(1, BATCHES + 1):
        lab.fused(kill_at=f"produced:{number}").await_death()
        lab.times += 1
    return lab.fused()


@fault(
    "aborted-decision",
    "`weir run` freezes, then dies, with decisions that clients wait for in its open transaction, again and again",
    Plan(rate=50),
)
def aborted_decision(lab: Lab) -> None:
    """Each copy is in the log before the one that counts, so who believes it answers with it.

    The two differ by the time of the decision, which ``judge_answers`` compares with the rest.
    """
    lab.aborts_expected = True
    scorer, addresses = lab.scorer(), Addresses()
    api, first = _serve(lab, addresses), lab.fused(stop_at=("asked",))
    first.await_step("committed")  # it decides before anybody asks, so that the first client waits for it
    with asking(lab, addresses) as askers:
        _die_frozen(lab, first)
        for _ in range(1, max(BATCHES, lab.kills)):
            _die_frozen(lab, lab.fused(stop_at=("asked",)))
        lab.expect(not askers.asked, "a client has an answer, and no decision that it could be was committed")
        fused = lab.fused()
        askers.await_each_kind()
    lab.recoveries += askers.recoveries
    lab.problems += askers.problems
    api.stop()
    lab.finish([fused, scorer])
    judge_answers(lab, askers.asked)


def _die_frozen(lab: Lab, fused: Worker) -> None:
    """Have one die that stopped itself with decisions in an open transaction."""
    fused.await_step("asked")
    fused.await_frozen()
    fused.kill()
    lab.times += 1
