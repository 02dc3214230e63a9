"""Who runs when: each contender once a round, in an order that turns, so that a slow minute falls on everybody alike.

A scenario that fails is told and left out of its round; the others go on, and the run ends with exit code 1.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from confluent_kafka import KafkaException
from redis.exceptions import RedisError

from tests.bench.figures import NothingMeasured, Rounds, Sample
from tests.bench.lab import Lab
from weir.schemas.errors import WeirError

Scenario = Callable[[Lab, str], list[Sample]]
"""Takes the lab and a name that nothing else on it bears; returns what it measured."""
FAILURES = (WeirError, NothingMeasured, KafkaException, RedisError, OSError, ValueError, subprocess.SubprocessError)


class NotMeasured(Exception):
    """A tool that a scenario drives is not on this machine; no failure, but no figure either."""


@dataclass(frozen=True)
class Contender:
    """One scenario by its name on the command line; ``once`` for a figure that no round changes."""

    name: str
    scenario: Scenario
    once: bool = False


@dataclass
class Outcome:
    """Everything that a run found.

    Attributes:
        rounds: the samples of each round, as they came.
        failed: contender, round and what was said.
        missing: contender or key, and what was not found.
    """

    rounds: list[list[Sample]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    @property
    def values(self) -> Rounds:
        """Return per round the value of each key."""
        return [{sample.key: sample.value for sample in samples} for samples in self.rounds]


def order_of(contenders: Sequence[Contender], number: int) -> list[Contender]:
    """Return the contenders of a round (from 0), turned by one place each round.

    Those that run once come in the first round alone.
    """
    present = [each for each in contenders if number == 0 or not each.once]
    places = number % len(present) if present else 0
    return [*present[places:], *present[:places]]


def run_rounds(lab: Lab, contenders: Sequence[Contender], rounds: int, outcome: Outcome) -> None:
    """Run rounds after those that an outcome has, adding to it as it goes: an interrupted run keeps what it has."""
    for number in range(len(outcome.rounds), len(outcome.rounds) + rounds):
        samples: list[Sample] = []
        outcome.rounds.append(samples)
        for contender in order_of(contenders, number):
            _run_one(lab, contender, number, samples, outcome)
        outcome.missing |= lab.missing
        try:
            lab.end_round()
        except FAILURES as error:
            outcome.failed.append(f"what round {number + 1} left could not be deleted: {error}")


def _run_one(lab: Lab, contender: Contender, number: int, samples: list[Sample], outcome: Outcome) -> None:
    begun = time.monotonic()
    name = f"r{number}-{contender.name}"
    try:
        found = contender.scenario(lab, name)
    except NotMeasured as error:
        outcome.missing[contender.name] = str(error)
        say(f"round {number + 1}  {contender.name}: not measured: {error}")
        return
    except FAILURES as error:
        lines = str(error).split("\n")  # of a child's log, the last line says why
        said = lines[0] if len(lines) == 1 else f"{lines[0]} … {lines[-1]}"
        outcome.failed.append(f"{contender.name}, round {number + 1}: {said}")
        say(f"round {number + 1}  {contender.name} FAILED\n{''.join(traceback.format_exception(error))}")
        return
    samples.extend(found)
    figures = ", ".join(f"{sample.key} {sample.value:,.1f}" for sample in found)
    say(f"round {number + 1}  {contender.name}: {figures}  ({time.monotonic() - begun:.0f} s)")


def end_cleanly_on_sigterm() -> None:
    """Have SIGTERM do what Ctrl-C does, so that servers and processes end with the run that started them."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def say(text: str) -> None:
    """Tell on stderr how it goes; stdout is for the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
