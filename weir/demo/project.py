"""The demo of a user's project: its stream on fresh servers, with events that its ``generator.toml`` makes up.

Where a model fits the stream it decides; without one, the rules of a stream that has no labels do. Else features alone
are shown.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from weir.demo.story import STILL_SECONDS_MAX, Story, console, flat, step
from weir.demo.watch import read_last
from weir.generators.profiles.profile import load_profile
from weir.infra.settings import Settings
from weir.schemas.contracts import features_schema
from weir.schemas.errors import WeirError
from weir.schemas.project import find_stream

_RATE = 100.0
_WARM_EVENTS = 20


class ProjectDemo(Story):
    """One stream of a project."""

    serves_api = False

    def __init__(self, settings: Settings, arguments: argparse.Namespace, folder: Path) -> None:
        """Load what the project declares; nothing runs yet.

        Raises:
            Refused: the streams or the generator's profile have faults; each is a line.
        """
        super().__init__(settings, arguments)
        self._stream = find_stream(folder, arguments.stream)
        self._profile = load_profile(folder, self._stream)

    def run(self) -> None:
        """Tell the story from the start to the summary."""
        self._set_up(self._stream)
        self._compile(self._stream)
        decides = self._stream.labels is None or self._has_champion()
        commands = ("run", "index") if decides else ("process",)
        with step("processor and scorer in one, index" if decides else "processor"):
            console.print(f"  {self._say_what_decides(decides=decides)}")
            self._start_services(
                *((name, "--stream", self._stream.name) for name in commands), decided=decides, shows_all=True
            )
        with step("a few events through the pipeline, so that it is warm"):
            self._warm_up()
        self._go_live()
        self._summarise()

    def _say_what_decides(self, *, decides: bool) -> str:
        if self._has_champion():
            return "a model fits these features, and decides with the rules and lists"
        if decides:
            return "no model: the stream's rules and lists decide, and what none of them names is approved"
        train = f"weir train --stream {self._stream.name}"
        return f"no model yet: features are computed, nothing is decided; `{train}` makes one"

    def _warm_up(self) -> None:
        """Wait for the outcomes of a few events: what is sent while processes start says nothing of their latency."""
        flags = {"--rate": _WARM_EVENTS, "--seconds": 1, "--seed": self._arguments.seed}
        self._verb("generate", "--stream", self._stream.name, *flat(flags))
        sent = self._count_events()
        deadline = time.monotonic() + STILL_SECONDS_MAX
        while (done := self._count_done()) < sent:
            self._children.check()
            if time.monotonic() > deadline:
                raise WeirError(f"expected {sent} outcomes of {self._stream.name}, found {done} and none for a while")
            time.sleep(0.2)

    def _go_live(self) -> None:
        rate = self._arguments.rate or self._profile.rate or _RATE
        flags = {"--rate": rate, "--seconds": self._arguments.seconds, "--seed": self._arguments.seed}
        self._live("--stream", self._stream.name, *flat(flags), title=f"{self._stream.name}  {rate:g}/s")

    def _summarise(self) -> None:
        tally = self._print_counts()
        for reason, count in tally.reasons.most_common():
            console.print(f"  {reason:<24} {count:,}", markup=False)
        self._print_features()
        console.print("\ntry next")
        console.print("  weir demo --seconds 0   # runs until Ctrl-C; use a second terminal meanwhile")
        console.print("  change generator.toml or the stream and run it again; `weir check` says what a change touches")

    def _print_features(self) -> None:
        """Print the features of an event that came last in its partition."""
        row = read_last(self._settings, self._settings.topics.features, features_schema(self._stream))
        if row is None:
            return
        console.print(f"features of {self._stream.event} {row[self._stream.id]}", markup=False)
        for name in self._stream.feature_names:
            value = "missing" if row[name] is None else f"{row[name]:,.6g}"
            console.print(f"  {name:<40} {value}", markup=False)
