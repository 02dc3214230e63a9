"""``weir redteam``: how much money an attacker who learns takes past a model, next to one who tries at random.

Everything runs in this process: payments are made by the simulator, computed by the kernel and decided by the scorer's
own code, in the order in which they come. Nothing is published. ``--in-force`` plays past what is published: model,
thresholds by segment, rules and lists. ``--record`` keeps what was found in the bundle.
"""

from __future__ import annotations

import shlex
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from rich.console import Console

from weir.generators.attack import SHAPES, Cards, Shape
from weir.generators.cli import CARDS_MIN
from weir.generators.events import compute_transactions
from weir.generators.history import History, build_history
from weir.generators.population import Population, build_population
from weir.inference.bundle import Bundle, load_bundle, load_champion, load_lists
from weir.inference.core.deciding import APPROVE
from weir.inference.core.lists import APPEND_TIME, Lists
from weir.inference.core.records import read_ids
from weir.inference.core.rules import RuleSet
from weir.inference.core.thresholds import ThresholdTable
from weir.inference.decide import Decider
from weir.inference.published import bundles
from weir.inference.published.content import Standing
from weir.inference.published.publish import Publisher
from weir.inference.rule_sets import read_rules, rules_of
from weir.infra.arguments import Parser, at_least
from weir.infra.settings import Settings, load_settings
from weir.monitoring.terminal import print_tables
from weir.schemas.durations import DAY_MS
from weir.schemas.errors import Refused
from weir.schemas.placeholders import BUILT_IN
from weir.schemas.printable import to_json
from weir.schemas.streams.payments import payments
from weir.streaming.compiling import compile_kernel, tell_on_stderr
from weir.streaming.core.backfill import backfill
from weir.streaming.core.kernel import Kernel
from weir.streaming.kernels import kernel_of
from weir.training.benchmarks import page
from weir.training.redteam.attackers import AdaptiveAttacker, Attacker, RandomAttacker
from weir.training.redteam.game import Budget, Played, Terms, Tried, play
from weir.training.redteam.record import read_record, write_record
from weir.training.redteam.tactics import Tactic
from weir.training.redteam.view import build_document, build_markdown, build_tables

START_MS: Final = 1_746_057_600_000
"""2025-05-01, 00:00 UTC: the attack begins there, whenever it is played, so that a seed gives the same figures."""
HISTORY_DAYS: Final = 30
"""As long as the longest window."""
CARDS, MONEY_USD, SEED = 1_000, 20_000, 7
_CARDS_OF_EACH: Final = 4
"""Cards of the world for each stolen one: most are honest."""
_TITLE: Final = "Red team: money taken past the champion"
Progress = Callable[[str], object]


@dataclass(frozen=True)
class InForce:
    """What decides while an attack is played."""

    bundle: Bundle
    lists: Lists
    rules: RuleSet
    thresholds: ThresholdTable | None = None

    def terms(self, budget: Budget, seed: int) -> Terms:
        """Return what a play of it has to have in common with another."""
        return Terms(budget, seed, self.rules.version, "" if self.thresholds is None else self.thresholds.version)


class World:
    """The past of a population, and its honest life while it is attacked."""

    def __init__(self, seed: int, cards: int) -> None:
        """Simulate it."""
        self.population: Population = build_population(seed, cards)
        self.past: History = build_history(self.population, START_MS - HISTORY_DAYS * DAY_MS, START_MS)
        self._days: dict[int, pa.RecordBatch] = {}

    def day(self, number: int) -> pa.RecordBatch:
        """Return what happens on a day of the attack without it."""
        if number not in self._days:
            begin = START_MS + number * DAY_MS
            self._days[number] = build_history(self.population, begin, begin + DAY_MS).transactions
        return self._days[number]


class Scorer:
    """A world that is attacked in one scenario: kernel and scorer, with the state that the past has left."""

    def __init__(self, world: World, kernel: Kernel, in_force: InForce, shape: Shape, seed: int) -> None:
        """Take the past through the kernel."""
        self._world, self._shape = world, shape
        self._decider, self._kinds = Decider(in_force, kernel.stream), in_force.lists.kinds
        self._stream = kernel.stream
        self._waiting: deque[pa.RecordBatch] = deque()
        labels = pa.Table.from_batches([world.past.labels])
        self._steps = backfill(kernel, self._take_waiting(), labels, placeholders=BUILT_IN)
        self._rounds = 0
        stolen = np.flatnonzero(world.population.is_open(np.arange(world.population.cards), START_MS // DAY_MS))
        self._stolen = np.random.default_rng((seed, 3)).permutation(stolen)
        self._compute(world.past.transactions)

    def attack(self, tactics: Sequence[Tactic]) -> Tried:
        """Use a new card for each tactic, on one day."""
        number, count = self._rounds, len(tactics)
        self._rounds += 1
        self._compute(self._world.day(number))
        own, self._stolen = self._stolen[:count], self._stolen[count:]
        begin = START_MS + number * DAY_MS
        cards = Cards(self._world.population, self._shape, own, tactics, begin, number)
        taken, tries, using = np.zeros(count), np.zeros(count, np.int64), np.arange(count)
        for step in range(self._shape.payments):
            if not len(using):
                break
            events = cards.pay(step, using)
            approved = self._decide(compute_transactions(events, self._world.population))
            amounts = np.where(approved & ~events.declined, events.amount_usd, 0.0)
            cards.take(using, amounts)
            taken[using] += amounts
            tries[using] += 1
            using = using[approved]
        return Tried(taken, tries)

    def _decide(self, batch: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.bool_]]:
        """Return which payments are approved."""
        features = self._compute(batch)
        fields = batch.append_column(APPEND_TIME, batch[self._stream.time])
        ids = read_ids(batch, self._kinds, self._stream.id_field_of)
        judgement = self._decider.judge(features, self._stream.feature_names, ids, fields)
        return np.equal(judgement.outcomes, APPROVE)

    def _compute(self, batch: pa.RecordBatch) -> np.ndarray[Any, np.dtype[np.float32]]:
        self._waiting.append(batch)
        parts: list[Any] = []
        while sum(map(len, parts)) < batch.num_rows:
            parts.append(next(self._steps)[1].features)
        return np.concatenate(parts)

    def _take_waiting(self) -> Iterator[pa.RecordBatch]:
        while True:
            yield self._waiting.popleft()


def play_all(
    world: World, kernel: Kernel, in_force: InForce, budget: Budget, scenarios: Sequence[str], seed: int, tell: Progress
) -> dict[str, tuple[Played, Played]]:
    """Play each scenario twice with one budget: at random, and by an attacker who learns.

    Args:
        world: that is attacked; each game begins from its past.
        kernel: of the payments.
        in_force: what decides.
        budget: of each game.
        scenarios: their names.
        seed: of the attackers.
        tell: hears what is played.
    """
    found = {}
    for name in scenarios:
        games: list[Played] = []
        attackers: list[Attacker] = [RandomAttacker(seed), AdaptiveAttacker(seed)]
        for attacker in attackers:
            tell(f"{name}: {'at random' if not games else 'learning'}")
            games.append(play(attacker, Scorer(world, kernel, in_force, SHAPES[name], seed), budget))
        found[name] = (games[0], games[1])
    return found


def find_declared(settings: Settings, folder: Path | None) -> InForce:
    """Return what decides where nothing is published: a bundle with its own thresholds, and the declared rules.

    Args:
        settings: of the payments.
        folder: of the bundle; None for the one that the champion link names.

    Raises:
        Refused: there is no bundle, or it or the lists file is not right.
    """
    bundle = load_champion(settings) if folder is None else _load(settings, folder)
    return InForce(bundle, load_lists(settings), rules_of(payments))


def find_published(settings: Settings, folder: Path | None) -> InForce:
    """Return what decides now: what is published, and where nothing of a kind is, what ``find_declared`` returns.

    Args:
        settings: of the payments.
        folder: of a bundle that takes the place of the champion; None for the champion.

    Raises:
        Refused: there is no bundle, or it or the lists file is not right.
        Transient: the brokers did not answer in time.
    """
    with Publisher(settings, read_rules) as publisher:
        standing = publisher.standing
        champion = bundles.find_role(settings, publisher, "champion") if folder is None else None
    bundle = find_declared(settings, folder).bundle if champion is None else bundles.load(settings, champion)
    return stand_in(settings, standing, bundle)


def stand_in(settings: Settings, standing: Standing, bundle: Bundle) -> InForce:
    """Return what is in force with a bundle in the place of the champion.

    Raises:
        Refused: the lists file is not right.
    """
    lists, rules = standing.lists, standing.rules
    return InForce(
        bundle,
        load_lists(settings) if lists is None else lists,
        rules_of(payments) if rules is None else rules,
        standing.thresholds,
    )


def play_and_record(settings: Settings, standing: Standing, models: Sequence[Bundle], tell: Progress) -> None:
    """Play models past what is in force, with the budget and seed of ``weir redteam``, and keep it in their bundles.

    One that has a play on these terms is not played again.

    Args:
        settings: of the payments.
        standing: what is published.
        models: each in the place of the champion.
        tell: hears what is played.

    Raises:
        Refused: a bundle's folder cannot be written.
    """
    budget, kernel = Budget(CARDS, MONEY_USD), kernel_of(payments)
    world: World | None = None
    for bundle in models:
        in_force = stand_in(settings, standing, bundle)
        terms = in_force.terms(budget, SEED)
        if _is_played(bundle, terms):
            continue
        compile_kernel(kernel, tell_on_stderr)
        world = world or _simulate(SEED, CARDS)
        games = play_all(world, kernel, in_force, budget, list(SHAPES), SEED, tell)
        version = bundle.manifest.version
        _record(bundle, build_document(version, terms, games), _describe("weir redteam --in-force --record"))


def _is_played(bundle: Bundle, terms: Terms) -> bool:
    try:
        return read_record(bundle.directory, bundle.manifest.version).terms == terms
    except Refused:
        return False


def main(argv: list[str]) -> int:
    """Run the verb. Exit codes: 0 played, 1 the brokers do not answer, 2 refused or misused."""
    parser = _build_parser()
    arguments = parser.parse_args(argv[1:])
    if arguments.record and arguments.scenario:
        parser.error("--record keeps a play of all scenarios, so that two models can be compared: leave --scenario out")
    settings = load_settings()
    if settings.stream.full_name != payments.name:
        raise Refused("expected the card payments, which the attacks are made for, found another stream")
    in_force = (find_published if arguments.in_force else find_declared)(settings, arguments.bundle)
    bundle, kernel = in_force.bundle, kernel_of(payments)
    compile_kernel(kernel, tell_on_stderr)
    console = Console(stderr=True)
    with console.status("simulating payments") as status:
        world = _simulate(arguments.seed, arguments.cards)
        budget = Budget(arguments.cards, arguments.money)
        scenarios = arguments.scenario or list(SHAPES)
        games = play_all(world, kernel, in_force, budget, scenarios, arguments.seed, status.update)
    document = build_document(bundle.manifest.version, in_force.terms(budget, arguments.seed), games)
    if arguments.json:
        sys.stdout.write(to_json(document, indent=2) + "\n")
    else:
        print_tables(build_tables(document))
    command = f"weir {shlex.join(word for word in argv if word not in ('--write', str(arguments.write)))}"
    if arguments.write:
        page.write_section(arguments.write, _TITLE, _describe(command), build_markdown(document))
    if arguments.record:
        _record(bundle, document, _describe(command))
        sys.stderr.write(f"kept in {bundle.directory}: its model card shows it, and the gates read it\n")
    return 0


def _load(settings: Settings, folder: Path) -> Bundle:
    return load_bundle(folder, declarations_hash=settings.declarations_hash, stream=payments)


def _simulate(seed: int, cards: int) -> World:
    return World(seed, max(CARDS_MIN, _CARDS_OF_EACH * cards))


def _describe(command: str) -> str:
    return page.describe(command, f"{datetime.now(UTC):%Y-%m-%d}")


def _record(bundle: Bundle, document: Mapping[str, Any], about: str) -> None:
    try:
        write_record(bundle.directory, document, about)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise Refused(f"expected to keep what was played in {bundle.directory}, found: {why}") from None


def _build_parser() -> Parser:
    text = "Attack a model in simulation with a budget of cards and money, at random and by learning; nothing is sent."
    parser = Parser(prog="weir redteam", description=text)
    parser.add_argument("--bundle", type=Path, metavar="FOLDER", help="the model that is attacked (default: champion)")
    in_force = "past what is published: the model, thresholds by segment, rules and lists"
    parser.add_argument("--in-force", action="store_true", help=in_force)
    parser.add_argument("--cards", type=at_least(1), default=CARDS, help="stolen cards (default: %(default)s)")
    parser.add_argument("--money", type=float, default=MONEY_USD, metavar="USD", help="to spend (default: %(default)s)")
    parser.add_argument("--scenario", action="append", choices=list(SHAPES), help="only this one; may be repeated")
    parser.add_argument("--seed", type=at_least(0), default=SEED, help="names the world (default: %(default)s)")
    parser.add_argument("--record", action="store_true", help="keep it in the bundle, for its card and the gates")
    parser.add_argument("--json", action="store_true", help="for machines")
    parser.add_argument("--write", type=Path, metavar="DIR", help=f"write the table into DIR/{page.NAME} too")
    return parser
