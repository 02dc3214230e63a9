"""The config file of ``weir train --config``: YAML text to a ``Config``, or to every fault of it by line.

What YAML it may be is said in ``schemas/yaml_tree.py``. Each key can be left out, and is then as in ``DEFAULTS``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from weir.schemas.checks.expression_types import nearest
from weir.schemas.errors import Refused
from weir.schemas.origin import Finding, Origin
from weir.schemas.yaml_tree import YamlFile, load_text, say_value
from weir.training.search.spaces import DEFAULT_SPACES, SPACES, Range, Space

_WHAT: Final = "training config"
_KEYS: Final = ("contenders", "trials", "budget_minutes", "prune", "seed", "folds", "keys_apart", "ranges")
_BOOLEANS: Final = {"true": True, "false": False, "yes": True, "no": False}
PARITY_MAX: Final = 1e-6
"""Between an exported graph and its model; other contenders than LightGBM have to be shown to be the same."""
_BOUNDS: Final = {
    "trials": (1, 10_000),
    "budget_minutes": (0.01, 100_000),
    "seed": (0, 2**31 - 1),
    "folds": (2, 12),
}
"""Smallest and largest; a text as the bounds is written in messages."""

DEFAULTS: Final = """\
# how `weir train --config FILE` looks for a model; what is left out is as here
contenders: [lightgbm, xgboost, random_forest, logistic_regression, isolation_forest]  # stack too
trials: 100            # of all contenders together; the first of each is its start value
budget_minutes: 60     # no trial begins later; the search of the next run continues
prune: true            # a trial below the median of those before it ends early
seed: 17
folds: 3               # rolling in time, each judged by later events than those that teach it
keys_apart: false      # true: a fold is judged by keys (cards) that teach nothing in it
ranges: {}             # for example {lightgbm: {num_leaves: [8, 64]}}
"""


@dataclass(frozen=True)
class Config:
    """How to search; see ``DEFAULTS``.

    Attributes:
        spaces: by contender, in the order that was given.
    """

    spaces: Mapping[str, Space] = field(default_factory=lambda: dict(DEFAULT_SPACES))
    trials: int = 100
    budget_minutes: float = 60
    prune: bool = True
    seed: int = 17
    folds: int = 3
    keys_apart: bool = False


def load_config(path: Path) -> Config:
    """Read a config file.

    Raises:
        Refused: with a line for each fault.
    """
    return parse_config(_load(path), str(path))


def find_config_faults(path: Path) -> Iterator[Finding]:
    """Yield what is wrong with a config file."""
    try:
        tree = YamlFile(_load(path), str(path), _WHAT)
    except Refused as error:
        yield Finding(Origin(str(path), 1), _WHAT, str(error).removeprefix(f"{path}: "))
        return
    _Reader(tree).read()
    yield from tree.findings


def _load(path: Path) -> str:
    try:
        return load_text(path)
    except OSError as error:
        raise Refused(f"{path}: expected a {_WHAT}, found none: {(error.strerror or '').lower()}; "
                      "`weir train --defaults` prints one") from None  # fmt: skip


def parse_config(text: str, file: str) -> Config:
    """Read the text of a config file.

    Args:
        text: YAML.
        file: what messages call it.

    Raises:
        Refused: with a line for each fault.
    """
    tree = YamlFile(text, file, _WHAT)
    config = _Reader(tree).read()
    if tree.findings:
        raise Refused("\n".join(map(str, sorted(tree.findings, key=lambda each: each.where))))
    return config


class _Reader:
    """Reads one file; what is wrong with it is said to the file."""

    def __init__(self, file: YamlFile) -> None:
        self._file = file

    def read(self) -> Config:
        root = self._file.compose()
        parts = self._file.read_map(root, _WHAT, _KEYS) if root is not None else {}
        default = Config()
        numbers = {key: self._read_number(parts[key], key, *_BOUNDS[key]) for key in _BOUNDS if key in parts}
        return Config(
            spaces=self._read_spaces(parts),
            trials=int(numbers.get("trials", default.trials)),
            budget_minutes=numbers.get("budget_minutes", default.budget_minutes),
            prune=self._read_boolean(parts, "prune", default.prune),
            seed=int(numbers.get("seed", default.seed)),
            folds=int(numbers.get("folds", default.folds)),
            keys_apart=self._read_boolean(parts, "keys_apart", default.keys_apart),
        )

    def _read_spaces(self, parts: Mapping[str, yaml.Node]) -> dict[str, Space]:
        spaces = dict(DEFAULT_SPACES)
        if "contenders" in parts:
            spaces = {name: SPACES[name] for name in self._read_contenders(parts["contenders"])}
        if "ranges" not in parts:
            return spaces
        for name, node in self._file.read_map(parts["ranges"], "ranges", tuple(SPACES)).items():
            given = self._file.read_map(node, f"ranges of {name}", tuple(SPACES[name]))
            if name not in spaces:
                self._file.find(node, "ranges", f"expected ranges of a contender, found {name}, which is none here")
                continue
            narrowed = {key: self._read_range(each, key, SPACES[name][key]) for key, each in given.items()}
            spaces[name] = {**spaces[name], **narrowed}
        return spaces

    def _read_contenders(self, node: yaml.Node) -> list[str]:
        found: list[str] = []
        nodes = self._file.read_list(node, "contenders", "a list of contenders")
        for each in nodes:
            name = self._file.read_text(each, "contenders", "a contender")
            if name not in SPACES:
                hint = nearest(name, tuple(SPACES))
                said = hint if "did you mean" in hint else ""
                fault = f"expected one of {', '.join(SPACES)}, found {say_value(each)}{said}"
                self._file.find(each, "contenders", fault)
            elif name in found:
                self._file.find(each, "contenders", f"expected {name} once, found it again")
            else:
                found.append(name)
        if not nodes:
            self._file.find(node, "contenders", "expected one contender or more, found none")
        return found

    def _read_range(self, node: yaml.Node, key: str, space: Range) -> Range:
        if isinstance(node, yaml.ScalarNode):
            value = self._read_number(node, key, *_widen(space), whole=space.is_whole)
            return space.narrow(value, value)
        nodes = self._file.read_list(node, key, "one value, or [smallest, largest]")
        if len(nodes) != 2:
            self._file.find(node, key, f"expected one value, or [smallest, largest], found {len(nodes)} values")
            return space
        low, high = (self._read_number(each, key, *_widen(space), whole=space.is_whole) for each in nodes)
        if low > high:
            self._file.find(node, key, f"expected the smaller value first, found [{low:g}, {high:g}]")
            return space
        return space.narrow(low, high)

    def _read_number(
        self, node: yaml.Node, key: str, low: float, high: float, *, whole: bool | None = None
    ) -> int | float:
        is_whole = isinstance(low, int) if whole is None else whole
        kind = "a whole number" if is_whole else "a number"
        try:
            value = (int if is_whole else float)(self._file.read_text(node, key, key))
        except ValueError:
            value = math.nan
        if low <= value <= high:
            return value
        self._file.find(node, key, f"expected {kind} from {low:g} to {high:g}, found {say_value(node)}")
        return low

    def _read_boolean(self, parts: Mapping[str, yaml.Node], key: str, default: bool) -> bool:
        if key not in parts:
            return default
        word = self._file.read_text(parts[key], key, key).lower()
        if word not in _BOOLEANS:
            self._file.find(parts[key], key, f"expected true or false, found {say_value(parts[key])}")
        return _BOOLEANS.get(word, default)


def _widen(space: Range) -> tuple[float, float]:
    """Return the bounds that a user's range can have: what every library takes, beyond what is tried by default."""
    if space.is_whole:
        return (0 if space.low == 0 else 1), (1 if space.high == 1 else 10 * space.high)
    return (1e-9, 1.0) if space.high <= 1.0 else (1e-9, 1_000 * space.high)
