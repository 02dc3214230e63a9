"""``streaming/state/view_writer.py`` of the model."""

from __future__ import annotations

from collections.abc import Generator

from tests.model.world import Steps, World, Write

ATTEMPTS_MAX = 3


class ViewWriter:
    """``streaming.applier.ViewWriter``: one write under way, what waits behind it merged."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.waiting: list[Write] = []
        self.sending: Write | None = None
        self.ended: list[tuple[Write, bool]] = []
        self.thread = self._run()

    @property
    def records_behind(self) -> int:
        writes = [*self.waiting, *([self.sending] if self.sending else [])]
        return sum(write.end - write.start for write in writes)

    def submit(self, write: Write) -> None:
        self.waiting.append(write)

    def die(self) -> None:
        """End with the process; what is under way may arrive later."""
        if self.sending is not None and self.world.happens(0.5):
            self.world.late.append(self.sending)
        self.waiting, self.sending, self.thread = [], None, _nothing()

    def _run(self) -> Steps:
        while True:
            while not self.waiting:
                yield
            self.sending = write = self._merge(self.world.rng.randint(1, len(self.waiting)))
            done = yield from self._send(write)
            self.ended.append((write, done))
            self.sending = None
            if not done:
                self.waiting.clear()

    def _merge(self, count: int) -> Write:
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        self.world.met["merged writes"] += count > 1
        changed = {entity: partial for write in taken for entity, partial in write.changed.items()}
        return Write(taken[0].start, taken[-1].end, changed)

    def _send(self, write: Write) -> Generator[None, None, bool]:
        for _ in range(ATTEMPTS_MAX):
            yield
            if not self.world.happens(self.world.loss_rate):
                done = self.world.write(write)
                self.world.met["refused writes"] += not done
                return done
            fate = self.world.rng.choice(["request lost", "reply lost", "request late"])
            if fate == "reply lost":
                self.world.write(write)
            elif fate == "request late":
                self.world.late.append(write)
        self.world.met["unanswered writes"] += 1
        return False


def _nothing() -> Steps:
    while True:
        yield
