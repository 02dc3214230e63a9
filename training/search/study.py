"""The trials of a search: Optuna proposes, folds judge, a file remembers.

**Resuming:** a trial that was running when its process ended is left out, and tried again by the next run. Each trial
has a seed of its own, from the seed of the config and the number of finished trials. So a search that was interrupted
proposes what one that was not would have proposed.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.trial import FrozenTrial, TrialState
from sklearn.metrics import average_precision_score
from sqlalchemy.exc import DatabaseError

from weir.schemas.errors import Refused
from weir.training.models import Matrix
from weir.training.search.config import Config
from weir.training.search.folds import Fold
from weir.training.search.spaces import Parameters, list_starts
from weir.training.search.stack import Lesson, fit

_CONTENDER: Final = "contender"
_ENDED: Final = (TrialState.COMPLETE, TrialState.PRUNED)
_MEDIAN_OF: Final = 5
"""Whole trials before one can end early."""


@dataclass(frozen=True)
class Tried:
    """One trial.

    Attributes:
        number: from 1 on, in the order of the search.
        contender: its kind of model.
        parameters: that it was given.
        folds: average precision on each fold, the oldest first; fewer where it ended early.
        is_whole: whether every fold judged it.
    """

    number: int
    contender: str
    parameters: Parameters
    folds: tuple[float, ...]
    is_whole: bool

    @property
    def value(self) -> float:
        """The mean average precision of its folds, by which the best one is chosen."""
        return float(np.mean(self.folds))


Clock = Callable[[], float]
Tell = Callable[[Sequence[Tried], int], object]
"""Told all trials when one has ended, which is the last of them, and how many are wanted."""


class Study:
    """One search in a file, by the name of what is searched.

    Use ``open_study``: two processes at once would both try the same.
    """

    def __init__(self, file: Path, name: str, config: Config, monotonic: Clock) -> None:
        self._config = config
        self._monotonic = monotonic
        self._study = optuna.create_study(
            storage=f"sqlite:///{file}",
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_MEDIAN_OF),
        )
        for left in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            self._study.tell(left.number, state=TrialState.FAIL)

    def list_tried(self) -> list[Tried]:
        """Return the trials that have ended, in the order of the search."""
        ended = self._study.get_trials(deepcopy=False, states=_ENDED)
        return [_read(trial, number) for number, trial in enumerate(ended, 1)]

    def run(self, folds: Sequence[Fold], features: Matrix, names: Sequence[str], tell: Tell) -> None:
        """Try until there are as many trials as wanted, or the budget is used.

        Args:
            folds: that judge.
            features: of all examples.
            names: of the features.
            tell: told when a trial has ended.
        """
        until = self._monotonic() + 60 * self._config.budget_minutes
        while (done := len(self.list_tried())) < self._config.trials and (self._monotonic() < until or not done):
            self._study.sampler = optuna.samplers.TPESampler(seed=self._config.seed + done)
            trial = self._ask(done)
            value = self._try(trial, folds, features, names)
            self._study.tell(trial, value, TrialState.PRUNED if value is None else TrialState.COMPLETE)
            tell(self.list_tried(), self._config.trials)

    def _ask(self, done: int) -> optuna.Trial:
        starts = list_starts(self._config.spaces)
        if done < len(starts) and not self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            name, parameters = starts[done]
            self._study.enqueue_trial({_CONTENDER: name, **_prefix(name, parameters)})
        return self._study.ask()

    def _try(self, trial: optuna.Trial, folds: Sequence[Fold], features: Matrix, names: Sequence[str]) -> float | None:
        """Return the mean of all folds, or None for a trial that ends early."""
        contender, parameters = self._suggest(trial)
        found: list[float] = []
        for step, fold in enumerate(folds):
            lesson = Lesson(features[fold.teaches], fold.taught, fold.rolls, fold.taught_weights)
            model = fit(contender, lesson, parameters, names, self._config.seed)
            scores, weights = model.score(features[fold.judges]), fold.truth_weights
            found.append(float(average_precision_score(fold.truth, scores, sample_weight=weights)))
            trial.set_user_attr("folds", found)
            trial.report(float(np.mean(found)), step)
            if self._config.prune and step < len(folds) - 1 and trial.should_prune():
                return None
        return float(np.mean(found))

    def _suggest(self, trial: optuna.Trial) -> tuple[str, Parameters]:
        contender = trial.suggest_categorical(_CONTENDER, list(self._config.spaces))
        parameters: dict[str, int | float] = {}
        for key, space in self._config.spaces[contender].items():
            called = f"{contender}.{key}"
            if space.is_whole:
                parameters[key] = trial.suggest_int(called, int(space.low), int(space.high), log=space.log)
            else:
                parameters[key] = trial.suggest_float(called, space.low, space.high, log=space.log)
        return contender, parameters


@contextmanager
def open_study(file: Path, name: str, config: Config, monotonic: Clock = time.monotonic) -> Iterator[Study]:
    """Open a search, or make it, and keep other processes out.

    Args:
        file: of all searches.
        name: what is searched; the same config, data and declarations have the same name.
        config: how to search.
        monotonic: seconds, by which the budget is used.

    Raises:
        Refused: another process searches, or the file cannot be read or written.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused(f"{file}: expected one search at a time, found another `weir train --config FILE`; "
                          "wait until it has ended") from None  # fmt: skip
        try:
            yield Study(file, name, config, monotonic)
        except (StorageInternalError, DatabaseError) as error:
            raise Refused(f"{file}: expected a file of searches that can be written, found "
                          f"{str(error.__cause__ or error).splitlines()[0][:120]}; free some space, or move the file "
                          "away: then the search begins again") from None  # fmt: skip


def _read(trial: FrozenTrial, number: int) -> Tried:
    contender = str(trial.params[_CONTENDER])
    parameters = {
        key.partition(".")[2]: value for key, value in trial.params.items() if key.startswith(f"{contender}.")
    }
    return Tried(number, contender, parameters, tuple(trial.user_attrs["folds"]), trial.state == TrialState.COMPLETE)


def _prefix(name: str, parameters: Parameters) -> dict[str, int | float]:
    return {f"{name}.{key}": value for key, value in parameters.items()}
