"""Retrains a stream's model, step by step; each is what a command of its own does, and is noted with its figures.

1. labels: the dataset is read, and its labels are held against those of the last one
2. train: as `weir train` does, by its fixed parameters or a config's search, without the link
3. gates: as `weir models check`
4. shadow: it is scored next to what decides, and guarded
5. canary: it decides for a share of the keys, and is guarded
6. promote: as `weir models promote`

A step that is noted is not done again. One that is not passed ends the run, and what decides is what decided before.

What a person or a guard took back meanwhile is not published again: a run that is continued promotes only where its
canary is in force still, and what decides is what the gates compared with.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console

from weir.inference.bundle import Bundle
from weir.inference.published import bundles
from weir.inference.published.bundles import Listed
from weir.inference.published.content import Standing
from weir.inference.published.gate import Gate
from weir.inference.published.publish import Publisher
from weir.infra.settings import Settings
from weir.schemas.errors import WeirError
from weir.schemas.gate_bounds import GateBounds
from weir.schemas.streams.payments import payments
from weir.training.bundle import read_last_reference
from weir.training.choosing.publishing import promote, take_back
from weir.training.cli import build_options, load_source, record_run
from weir.training.dataset_checks import check_dataset
from weir.training.dataset_report import DatasetReport
from weir.training.gates import run as gating
from weir.training.gates.archived import Archive
from weir.training.gates.card import write_gates
from weir.training.parts import build_parts
from weir.training.pipeline import Options, Trained, run_training
from weir.training.redteam.record import RECORD_FILE
from weir.training.retraining.labels import FIELD, describe_labels, describe_older, judge_labels
from weir.training.retraining.live import ENDED, Enough, Pair, run_canary, run_shadow
from weir.training.retraining.run_log import Run
from weir.training.search.cli import list_trials, run_configured, say_search
from weir.training.search.config import Config
from weir.training.thresholds import Thresholds
from weir.training.tracking import Trial

if TYPE_CHECKING:
    from weir.training.search.run import Search  # Optuna: half a second


@dataclass
class Retraining:
    """One run, with all that its steps need.

    Attributes:
        arguments: of the command.
        say: told what begins, in a few words.
        config: how to search for a model; None for a LightGBM with fixed parameters.
        console: where the trials of a search are shown.
        play: has attackers play models past what is published and keeps it in their bundles; given that, and the
            models.
    """

    arguments: argparse.Namespace
    settings: Settings
    publisher: Publisher
    archive: Archive
    bounds: GateBounds
    run: Run
    say: Callable[[str], object]
    config: Config | None = None
    console: Console = field(default_factory=lambda: Console(stderr=True))
    play: Callable[[Standing, Sequence[Bundle]], object] = lambda *_: None
    _source: list[Any] = field(default_factory=list)

    def source(self) -> Any:
        """Return the labelled events, read once."""
        if not self._source:
            self._source.append(load_source(self.arguments, self.settings))
        return self._source[0]

    def check(self) -> DatasetReport:
        """Return what the labelled events hold.

        Raises:
            WeirError: they cannot be trained on.
        """
        examples, labels, _ = self.source()
        last = read_last_reference(self.settings.models_dir)
        return check_dataset(examples, labels, self.settings.stream, now_ms=_now_ms(), last=last)

    @property
    def champion(self) -> bundles.Listed | None:
        """What decides now."""
        return bundles.find_role(self.settings, self.publisher, "champion")

    @property
    def chosen(self) -> bundles.Listed:
        """The bundle that this run trained."""
        return bundles.find_here(self.settings.models_dir, self.run.content or self.run.version)

    @property
    def cut(self) -> Thresholds | None:
        """Thresholds that are published, for events of no segment."""
        table = self.publisher.standing.thresholds
        return None if table is None else Thresholds(float(table.others.review), float(table.others.decline))

    def pair(self) -> Pair | None:
        """Return what is watched; None where nothing decides yet."""
        champion = self.champion
        return None if champion is None else Pair(self.chosen, champion, self.cut)

    def enough(self, decisions: int) -> Enough:
        """Return when a model was watched for long enough."""
        return Enough(decisions, self.arguments.patience / 1_000)


@dataclass(frozen=True)
class Done:
    """What a step found."""

    passed: bool
    found: str
    gates: tuple[Gate, ...] = ()
    trials: Sequence[Trial] = ()


_NOTHING_DECIDES: Final = Done(True, "left out: nothing decides yet, so there is nothing to compare with")


def run_steps(work: Retraining) -> bool:
    """Do every step that is not done; return whether the model was promoted."""
    steps: dict[str, Callable[[Retraining], Done]] = {
        "labels": _check_labels,
        "train": _train,
        "gates": _run_gates,
        "shadow": _shadow,
        "canary": _canary,
        "promote": _promote,
    }
    for name, step in steps.items():
        if work.run.find(name):
            continue
        work.say(name)
        work.publisher.why = f"retraining {work.run.id}: {name}"
        done = step(work)
        work.run.add(name, done.found, passed=done.passed, at_ms=_now_ms(), gates=done.gates, trials=done.trials)
        if not done.passed:
            work.run.end(f"not promoted: {name} was not passed")
            return False
    work.run.end("promoted")
    return True


def _check_labels(work: Retraining) -> Done:
    examples, labels, _ = work.source()
    stream = work.settings.stream
    try:
        work.check()
    except WeirError as error:
        return Done(False, str(error))
    _, parts = build_parts(examples, labels, build_options(work.arguments, work.settings, "").maturity_ms, stream)
    train, champion = parts["train"], work.champion
    found = describe_labels(train.features, train.positive, stream.feature_names)
    text = f"{found['rows']:,} labelled events teach, {found['fraud_share']:.2%} of them fraud"
    if champion is None:
        return Done(True, f"{text}; nothing decides yet, so there is no last dataset")
    extra = champion.manifest.model_extra or {}
    before = extra.get(FIELD) or describe_older(extra.get("metrics"))
    gates = tuple(judge_labels(found, before, work.bounds))
    told = "" if "relation" in before else "; the last dataset was not described, so their relation is not compared"
    return Done(all(gate.passed for gate in gates), text + told, gates)


def _train(work: Retraining) -> Done:
    examples, labels, source = work.source()
    options = replace(build_options(work.arguments, work.settings, source), dataset=work.check().as_manifest())
    search = None
    if work.config is None:
        trained, how = run_training(examples, labels, options, work.say), "lightgbm with fixed parameters"
    else:
        given = examples, labels, options, work.config
        trained, search = run_configured(*given, work.settings.home, work.console, work.say)
        how = f"by {work.arguments.config.name}: {say_search(search)}"
    made = bundles.read_folder(trained.bundle)
    work.run.version, work.run.content = made.manifest.version, made.content
    found = f"{trained.bundle.name}, PR-AUC {trained.results.own['pr_auc']:.4f} on its test interval; {how}"
    return Done(True, found + _record(work, options, trained, search), trials=list_trials(search) if search else ())


def _record(work: Retraining, options: Options, trained: Trained, search: Search | None) -> str:
    """Record the run in MLflow as `weir train` does; return what the evidence says of it."""
    if not work.arguments.track:
        return ""
    work.say("train: recording the run in MLflow")
    run_id, why = record_run(work.settings, options, trained, search)
    return f"; run {run_id} of MLflow" if run_id else f"; not recorded: {why}"


def _run_gates(work: Retraining) -> Done:
    chosen, champion, settings = work.chosen, work.champion, work.settings
    work.run.champion = champion.content if champion else ""
    challenger = bundles.load(settings, chosen)
    _play(work, challenger, champion)
    cut = work.publisher.standing.thresholds
    gates = gating.run_gates(work.arguments, settings, challenger, champion, work.archive, cut, work.bounds)
    against = champion.manifest.version if champion else ""
    if chosen.folder is not None:
        write_gates(chosen.folder, gates, against, at_seconds=time.time())
    failed = [gate.name for gate in gates if not gate.passed]
    text = f"{len(gates) - len(failed)} of {len(gates)} passed, against {against or 'nothing'}"
    return Done(not failed, text + (f"; not passed: {', '.join(failed)}" if failed else ""), tuple(gates))


def _play(work: Retraining, challenger: Bundle, champion: Listed | None) -> None:
    """Have attackers play both models where the gates ask for it: by a bound, or as the champion was played."""
    if work.settings.stream.full_name != payments.name:
        return
    decides = None if champion is None else bundles.load(work.settings, champion)
    was_played = decides is not None and (decides.directory / RECORD_FILE).is_file()
    if work.bounds.asks_redteam or was_played:
        work.say("gates: an attacker plays")
        work.play(work.publisher.standing, [challenger] if decides is None else [challenger, decides])


def _shadow(work: Retraining) -> Done:
    pair = work.pair()
    if pair is None:
        return _NOTHING_DECIDES
    enough = work.enough(work.arguments.shadow_decisions)
    reason, found = run_shadow(work.settings, work.publisher, pair, work.archive, enough)
    return Done(not reason, f"{found}{f'; {reason}' if reason else ''}")


def _canary(work: Retraining) -> Done:
    pair = work.pair()
    if pair is None:
        return _NOTHING_DECIDES
    enough, share = work.enough(work.arguments.canary_decisions), work.arguments.share
    reason, found = run_canary(work.settings, work.publisher, pair, work.archive, enough, share=share)
    return Done(not reason, f"{share:.0%} of the keys; {found}{f'; {reason}' if reason else ''}")


def _promote(work: Retraining) -> Done:
    work.publisher.published.look()
    chosen, champion = work.chosen, work.champion
    if champion is not None and champion.content == chosen.content:  # it was published before the run was stopped
        _end_canary(work, f"{chosen.manifest.version} was promoted")
        return Done(True, f"{chosen.manifest.version} decides")
    if against := _find_against(work, champion):
        _end_canary(work, against)
        return Done(False, against)
    promote(work.settings, work.publisher, chosen, work.archive)
    return Done(True, f"{chosen.manifest.version} decides; `weir models rollback --why WHY` takes it back")


def _find_against(work: Retraining, champion: bundles.Listed | None) -> str:
    """Return what was done since the gates that a promotion would undo; empty for nothing."""
    if bundles.was_published(work.publisher, "champion", work.chosen.content):
        return "somebody took the promotion back"
    if (champion.content if champion else "") != work.run.champion:
        return "another model decides now"
    return "" if champion is None or _is_canary(work) else ENDED.format("canary")


def _is_canary(work: Retraining) -> bool:
    canary = bundles.find_role(work.settings, work.publisher, "canary")
    return canary is not None and canary.content == work.chosen.content


def _end_canary(work: Retraining, why: str) -> None:
    """End the canary of this run, where it is in force: nobody watches it any more."""
    if _is_canary(work):
        work.publisher.why = why
        take_back(work.settings, work.publisher, "canary")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
