from __future__ import annotations

from pathlib import Path

import pytest

from weir.schemas.errors import Refused
from weir.training.search.config import DEFAULTS, Config, load_config, parse_config
from weir.training.search.spaces import SPACES


def test_the_file_of_defaults_is_what_an_empty_config_means() -> None:
    assert parse_config(DEFAULTS, "train.yaml") == Config() == parse_config("trials: 100", "train.yaml")


def test_what_is_given_is_taken() -> None:
    text = """
contenders: [lightgbm]
trials: 7
budget_minutes: 0.5
prune: no
seed: 3
folds: 2
keys_apart: yes
ranges: {lightgbm: {num_leaves: [40, 90], learning_rate: 0.05}}
"""
    config = parse_config(text, "train.yaml")
    assert (config.trials, config.budget_minutes, config.prune, config.seed) == (7, 0.5, False, 3)
    assert (config.folds, config.keys_apart) == (2, True)
    leaves, rate = config.spaces["lightgbm"]["num_leaves"], config.spaces["lightgbm"]["learning_rate"]
    assert (leaves.start, leaves.low, leaves.high, leaves.is_whole) == (40, 40, 90, True)
    assert rate.start == rate.low == rate.high == 0.05
    assert config.spaces["lightgbm"]["trees"] == SPACES["lightgbm"]["trees"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("trails: 3", r"train.yaml:1:1: training config: expected one of .*, found 'trails'.*did you mean.*trials"),
        ("seed: 1\nfolds: 1", r"train.yaml:2:8: folds: expected a whole number from 2 to 12, found '1'"),
        ("trials: many", r"train.yaml:1:9: trials: expected a whole number from 1 to 10000, found 'many'"),
        ("trials: 1.5", r"trials: expected a whole number"),
        ("budget_minutes: nan", r"budget_minutes: expected a number from 0.01"),
        ("prune: maybe", r"train.yaml:1:8: prune: expected true or false, found 'maybe'"),
        ("contenders: lightgbm", r"contenders: expected a list of contenders, found a single value"),
        ("contenders: []", r"expected one contender or more, found none"),
        ("contenders: [lightgmb]", r"train.yaml:1:14: contenders: .*found 'lightgmb'.*did you mean.*lightgbm"),
        ("contenders: [lightgbm, lightgbm]", r"expected lightgbm once, found it again"),
        ("ranges: {lightgbm: {leaves: 3}}", r"train.yaml:1:21: ranges of lightgbm: expected one of .*found 'leaves'"),
        ("ranges: {lightgbm: {num_leaves: [9, 3]}}", r"num_leaves: expected the smaller value first, found \[9, 3\]"),
        ("ranges: {lightgbm: {num_leaves: [1, 2, 3]}}", r"expected one value, or \[smallest, largest\], found 3"),
        (
            "ranges: {lightgbm: {feature_fraction: 0}}",
            r"feature_fraction: expected a number from 1e-09 to 1",
        ),
        ("ranges: {lightgbm: {feature_fraction: [0.5, 2]}}", r"feature_fraction: expected a number from 1e-09 to 1,"),
        ("- trials", r"training config: expected contenders: and a value, found a list"),
        ("", r"expected a training config, found an empty one"),
    ],
)
def test_a_fault_is_said_with_its_line_and_the_nearest_name(text: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        parse_config(text, "train.yaml")


def test_every_fault_is_said_at_once() -> None:
    with pytest.raises(Refused) as refused:
        parse_config("trials: 0\nfolds: 0\nprune: 3", "train.yaml")
    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == ["1", "2", "3"]


def test_a_file_that_is_not_there_is_refused_with_the_command_that_prints_one(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"expected a training config, found none: no such file.*weir train --defaults"):
        load_config(tmp_path / "train.yaml")
