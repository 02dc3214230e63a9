"""A model of the exactly-once protocol under random schedules, for one input partition.

It holds what ``streaming/loop.py``, ``committer.py``, ``units.py`` and, of ``streaming/state``, ``view_writer.py``,
``cache.py`` and ``catch_up.py`` say to each other and to Kafka and Redis, and nothing else. Each thread of a process is
a generator that yields wherever another may run: the loop, the committer, the applier, the applier of a catch-up. Two
members of the group share the partition; a replaced process continues for a while as a zombie. What goes wrong
meanwhile is in ``_FAULTS``, and besides at every commit (abort) and at every write to Redis (request or reply lost,
request late).

An entity's partial is the tuple of the offsets that were folded into it, so nothing wrong can cancel out. Two
generations of memory are dropped by the rule of ``PartialStore.trim``.

Each ``Guard`` is a rule of the protocol. Without one of them some schedule must end wrong, which shows that the model
can see what the rule is there for. The model is evidence and no proof: batches of one partition, not of several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from tests.model.processor import Process
from tests.model.world import MEMBERS, Copy, Guard, World

BUSY_STEPS = 600
QUIET_STEPS_MAX = 20_000


@dataclass(frozen=True)
class Ending:
    """How a schedule ended: what was wrong, if anything, and how often it met what it is for."""

    wrong: str | None
    met: Counter[str]


class Schedule:
    """One world, its members and their zombies, stepped at random."""

    def __init__(self, seed: int, without: frozenset[Guard]) -> None:
        self.world = World(seed, without)
        self.members = [Process(self.world, number) for number in range(MEMBERS)]
        self.zombies: list[Process] = []

    def run(self) -> Ending:
        """Run through faults, then without any until everything rests, and judge."""
        world = self.world
        faultiness = world.rng.choice([0.01, 0.03, 0.06])
        for _ in range(BUSY_STEPS):
            if world.rng.random() < faultiness:
                kinds = list(_FAULTS)
                world.rng.choices(kinds, [_FAULTS[kind] for kind in kinds])[0](self)
            self._step()
        world.quiet = True
        for _ in range(QUIET_STEPS_MAX):
            if world.wrong or (self.members[world.owner].is_at_rest and not world.late):
                break
            self._step()
        else:
            world.judge_wrong(f"no rest: {world.committed} committed, Redis at {world.redis.position}")
        world.judge_outputs()
        world.judge_view()
        return Ending(world.wrong, world.met)

    def _step(self) -> None:
        world = self.world
        world.clock += world.rng.random() < 0.05
        if world.late and world.rng.random() < 0.05:
            world.write(world.late.pop(world.rng.randrange(len(world.late))))
        if world.quiet and world.pending and world.rng.random() < 0.01:
            self.time_out()
        everyone = [self.members[world.owner]] * 4 + self.members + self.zombies
        process = world.rng.choice(everyone)
        process.step()
        if process.has_ended:
            self.zombies = [zombie for zombie in self.zombies if zombie is not process]
            if self.members[process.number] is process:
                self.members[process.number] = Process(world, process.number)

    def kill(self) -> None:
        number = self.world.rng.randrange(MEMBERS)
        self.members[number].die()
        self.members[number] = Process(self.world, number)

    def replace(self) -> None:
        """A process is taken for dead and is not."""
        number = self.world.owner
        self.zombies.append(self.members[number])
        self.members[number] = Process(self.world, number)

    def rebalance(self) -> None:
        self.world.assign(self.world.rng.randrange(MEMBERS))

    def ask_to_leave(self) -> None:
        self.world.leaving_for = self.world.rng.randrange(MEMBERS)

    def time_out(self) -> None:
        """The broker aborts what is open for too long."""
        if self.world.pending:
            self.world.pending.pop(0)

    def fail_over(self) -> None:
        """Redis goes back by a few writes."""
        past = self.world.past
        del past[max(1, len(past) - self.world.rng.randrange(4)) :]

    def wipe(self) -> None:
        self.world.past.append(Copy(None, {}))


_FAULTS: dict[Callable[[Schedule], None], int] = {
    Schedule.kill: 3,
    Schedule.replace: 2,
    Schedule.rebalance: 4,
    Schedule.ask_to_leave: 3,
    Schedule.time_out: 1,
    Schedule.fail_over: 3,
    Schedule.wipe: 1,
}


def run_schedule(seed: int, *without: Guard) -> Ending:
    """Run the schedule of a seed, with some guards left out; the same seed is the same schedule."""
    return Schedule(seed, frozenset(without)).run()
