from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from tests.payments import FEATURE_NAMES
from tests.unit.training.worlds import build_matrix
from weir.schemas.errors import Refused
from weir.training.search import study as searching
from weir.training.search.config import Config, parse_config
from weir.training.search.folds import Fold
from weir.training.search.stack import fit as fit_contender
from weir.training.search.study import Clock, Study, Tried, open_study

FEATURES, IS_FRAUD = build_matrix(1_500, seed=1)
POSITIVE = IS_FRAUD.astype(np.int8)
FOLDS = [
    Fold(np.arange(0, end), POSITIVE[:end], np.arange(end, end + 400), POSITIVE[end : end + 400])
    for end in (500, 800, 1_100)
]
SMALL = "contenders: [lightgbm]\nranges: {lightgbm: {trees: [2, 8], num_leaves: [4, 8]}}\n"


class Killed(BaseException):
    """Stands for the end of a process: nothing of the search handles it."""


def _config(text: str = "trials: 6") -> Config:
    return parse_config(SMALL + text, "train.yaml")


def _search(
    folder: Path, config: Config, tell: object = lambda *_: None, monotonic: Clock = lambda: 0.0
) -> list[Tried]:
    with open_study(folder / "searches.db", "a", config, monotonic) as study:
        study.run(FOLDS, FEATURES, FEATURE_NAMES, tell)  # type: ignore[arg-type]
        return study.list_tried()


def _die_in_fold(monkeypatch: pytest.MonkeyPatch, fit: int) -> None:
    """Have the process end in the fit of that number."""
    fits = iter(range(1, 1_000))

    def dying(*given: object) -> object:
        if next(fits) == fit:
            raise Killed
        return fit_contender(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(searching, "fit", dying)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> list[Tried]:
    return _search(tmp_path_factory.mktemp("search"), _config())


def test_the_first_trial_is_where_the_ranges_begin_and_the_others_differ(uninterrupted: list[Tried]) -> None:
    first = uninterrupted[0]
    assert first.parameters == {key: space.start for key, space in _config().spaces["lightgbm"].items()}
    assert len({tuple(each.parameters.values()) for each in uninterrupted}) == 6
    assert all(2 <= each.parameters["trees"] <= 8 for each in uninterrupted)
    assert [each.number for each in uninterrupted] == [1, 2, 3, 4, 5, 6]


def test_the_same_seed_gives_the_same_trials_and_another_one_others(tmp_path: Path, uninterrupted: list[Tried]) -> None:
    assert _search(tmp_path / "same", _config()) == uninterrupted
    others = _search(tmp_path / "other", _config("trials: 3\nseed: 4"))
    assert [each.parameters for each in others[1:]] != [each.parameters for each in uninterrupted[1:3]]


@pytest.mark.parametrize("fit", [1, 2, 8])
def test_a_search_that_is_killed_in_a_trial_ends_as_one_that_was_not(
    tmp_path: Path, uninterrupted: list[Tried], monkeypatch: pytest.MonkeyPatch, fit: int
) -> None:
    with monkeypatch.context() as patched:
        _die_in_fold(patched, fit)
        with pytest.raises(Killed):
            _search(tmp_path, _config())
    told: list[Tried] = []
    assert _search(tmp_path, _config(), lambda tried, _: told.append(tried[-1])) == uninterrupted
    assert len(told) == 6 - (fit - 1) // 3


def test_more_trials_continue_a_search(tmp_path: Path, uninterrupted: list[Tried]) -> None:
    _search(tmp_path, _config("trials: 2"))
    told: list[int] = []
    assert _search(tmp_path, _config(), lambda _, wanted: told.append(wanted)) == uninterrupted
    assert told == [6, 6, 6, 6]


@pytest.mark.parametrize(("budget", "trials"), [("3.5", 3), ("0.01", 1)])
def test_no_trial_begins_after_the_budget_but_the_first(tmp_path: Path, budget: str, trials: int) -> None:
    seconds = itertools.count(0, 60)
    tried = _search(tmp_path, _config(f"trials: 50\nbudget_minutes: {budget}"), monotonic=lambda: next(seconds))
    assert len(tried) == trials


def test_a_trial_below_the_median_ends_early_and_is_never_chosen_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = iter([*[0.5] * 15, 0.1, *[0.6] * 3])
    monkeypatch.setattr(searching, "average_precision_score", lambda *_, **__: next(values))
    tried = _search(tmp_path, _config("trials: 7"))
    assert [len(each.folds) for each in tried] == [3, 3, 3, 3, 3, 1, 3]
    assert [each.is_whole for each in tried] == [True] * 5 + [False, True]


def test_nothing_ends_early_when_it_is_not_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = iter([*[0.5] * 15, *[0.1] * 3])
    monkeypatch.setattr(searching, "average_precision_score", lambda *_, **__: next(values))
    assert [len(each.folds) for each in _search(tmp_path, _config("trials: 6\nprune: false"))] == [3] * 6


def test_two_searches_at_once_are_refused(tmp_path: Path) -> None:
    config = _config()
    with (
        open_study(tmp_path / "searches.db", "a", config) as study,
        pytest.raises(Refused, match="expected one search at a time, found another"),
        open_study(tmp_path / "searches.db", "a", config),
    ):
        pass
    assert isinstance(study, Study)


def test_a_file_that_is_none_of_searches_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "searches.db").write_bytes(b"no database" * 100)
    with pytest.raises(Refused, match=r"searches.db: expected a file of searches that can be written, found .*move"):
        _search(tmp_path, _config())
