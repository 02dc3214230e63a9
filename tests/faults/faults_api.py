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
    api = lab.crew.start("weir", arguments=("serve", "--port", "0"), kill_at=kill_at)
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
