"""Replays by itself what can heal: records whose schema the registry did not know yet.

Each failure of a record is a new dead letter with its replay count and its own time, so the back-off needs no memory:
a letter is due ``base * 2 ** replays`` after it was written. Past a bound it is parked. A restart forgets nothing.

Delivery: exactly once, as ``dlq_replay``. While nothing is due no transactional id is taken, so a replay by hand is
left alone; when both want it the later continues from what the earlier committed.
Cost: a round reads from the oldest healable letter that is still open.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from weir.infra.kafka.sink import Fenced
from weir.infra.settings import Settings
from weir.monitoring.logs import get_logger
from weir.schemas.errors import Transient
from weir.streaming.dlq.letter import HEALABLE, DeadLetter
from weir.streaming.dlq.log import DeadLetterLog, Selection
from weir.streaming.dlq.plan import ATTEMPTS_MAX, Options
from weir.streaming.dlq.replay import Replay, Report, plan_steps
from weir.streaming.metering import meter_turn

BACKOFF_MAX_MS = 3_600_000  # an hour: later than that a person has looked
_TRANSIENT_PAUSE_SECONDS = 5.0
STAGE = "dlq"
_log = get_logger(__name__)


@dataclass(frozen=True)
class AutoOptions:
    """How patient the replayer is: first wait, replays before parking, pause between rounds."""

    base_ms: int = 5_000
    attempts_max: int = ATTEMPTS_MAX
    poll_seconds: float = 1.0


def due_ms(letter: DeadLetter, base_ms: int) -> int:
    """Return when a letter is to be replayed, UTC epoch ms."""
    # 2 ** 40 is beyond the cap for every base; a forged count must not make a huge number
    return letter.appended_ms + int(min(base_ms * 2 ** min(letter.replay_count, 40), BACKOFF_MAX_MS))


class AutoReplayer:
    """Runs rounds until told to stop."""

    def __init__(
        self, settings: Settings, log: DeadLetterLog, options: AutoOptions, *, clock_ms: Callable[[], int]
    ) -> None:
        """Start at the beginning of the dead letters."""
        self._settings, self._log, self._options, self._clock_ms = settings, log, options, clock_ms
        self._starts: dict[int, int] = {}
        self._selection = Selection(reasons=HEALABLE)

    def run(self, stop: Callable[[], bool]) -> Report:
        """Run rounds until ``stop`` says so; brokers that are unreachable are waited for.

        Returns:
            The sum of all rounds.
        """
        total = Report()
        while not stop():
            meter_turn(STAGE)
            pause = self._options.poll_seconds
            try:
                report = self.run_round()
                total.outcomes.update(report.outcomes)
                total.notes = (total.notes + report.notes)[: Report.notes_max]
            except (Transient, Fenced) as error:
                _log.warning("dlq_auto_round_failed", error=str(error), next="tries again")
                pause = _TRANSIENT_PAUSE_SECONDS
            time.sleep(pause)
        return total

    def run_round(self) -> Report:
        """Replay or park what is due now; take the transactional id only if something is.

        Raises:
            Transient: the brokers did not answer in time.
            Fenced: a replay by hand has started.
        """
        now_ms = self._clock_ms()
        options = Options(
            attempts_max=self._options.attempts_max,
            due=lambda letter: due_ms(letter, self._options.base_ms) <= now_ms,
        )
        if not self._anything_due(options):
            return Report()
        report = Replay(self._settings, self._log, clock_ms=self._clock_ms).run(
            self._selection, options, starts=self._starts
        )
        _log.info("dlq_auto_round", **report.outcomes)
        return report

    def _anything_due(self, options: Options) -> bool:
        """Look, and move each partition's start past letters that need nothing any more."""
        self._log.done.refresh()
        ends = self._log.ends()
        starts, found = dict(ends), False
        prefix = self._settings.processor.dlq_header_prefix
        for step in plan_steps(self._log, prefix, self._selection, options, ends, self._starts):
            if step.outcome in {"settled", "unreplayable"}:
                continue
            at = step.letter.at
            starts[at.partition] = min(starts[at.partition], at.offset)
            found = found or step.action is not None
        self._starts = starts
        return found
