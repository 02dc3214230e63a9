"""``generator.toml``: what is made up for the streams of a project, a section for each stream.

    [clicks]
    malformed = 0.01                # records that are wrong on purpose, as a share; also late, duplicates, out_of_order
    rate = 50                       # events a second, where a command is given none
    simulator = "visits"            # fields that the simulator knows by name are its own; only where one is named
    [clicks.fields]                 # a field that is not named here is made up by its type
    customer_id = { ids = 2000, popular = 0.8 }
    device_id = { ids = 2, of = "customer_id", missing = 0.1 }
    country = { choice = { DE = 5, FR = 1 }, of = "customer_id" }
    page = { choice = ["/", "/search", "/cart"] }
    dwell_ms = { lognormal = 8000, spread = 1.2, at_most = 600000 }

Each field has one of ``ids``, ``choice``, ``lognormal``, ``uniform``, ``constant`` and ``share``. The event's id and
its time are made by the generator. Every fault is reported at once, and what is not known is never left out in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from weir.generators.faults import Faults
from weir.generators.profiles.defaults import MISSING, choose_distribution, is_plain, prefix_of
from weir.generators.profiles.distributions import (
    Choice,
    Distribution,
    Ids,
    Lognormal,
    Uniform,
    share,
)
from weir.generators.profiles.profile_file import PROFILE_FILE, ProfileFile
from weir.generators.profiles.simulators import OF_SHIPPED, SIMULATORS
from weir.schemas.checks.expression_types import nearest
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import Refused
from weir.schemas.origin import Finding, Origin
from weir.schemas.stream import Stream

_WHOLE, _NUMBERS = ("int", "long"), ("int", "long", "float", "double")
_KINDS: Final = {"ids": ("string",), "share": ("boolean",), "lognormal": _NUMBERS, "uniform": _NUMBERS}
"""The Avro types that a way can fill; the others fill any, by the values that they name."""
_OPTIONS: Final = {
    "ids": ("popular", "prefix"),
    "choice": (),
    "lognormal": ("spread", "at_least", "at_most"),
    "uniform": (),
    "constant": (),
    "share": (),
}
"""The ways to say how a field is distributed, and what more each takes."""
_FOLLOWS = ("ids", "choice")
"""Ways that can follow another field."""
_IDS_MAX = 10_000_000


@dataclass(frozen=True)
class FieldProfile:
    """How one field is made up.

    Attributes:
        of: the field that it follows, or ``""``.
        missing: the share of events in which it is null.
    """

    distribution: Distribution
    of: str = ""
    missing: float = 0.0


@dataclass(frozen=True)
class Profile:
    """How events of a stream are made up.

    Attributes:
        fields: of each field but the event's id and time, in an order in which each comes after the one it follows.
        faults: shares of what goes wrong on purpose.
        rate: events a second, where a command is given none.
        simulator: a name of ``simulators.SIMULATORS``, which makes the other fields, or ``""``.
    """

    stream: Stream
    fields: Mapping[str, FieldProfile]
    faults: Faults = field(default_factory=Faults)
    rate: float | None = None
    simulator: str = ""


def load_profile(folder: Path | None, stream: Stream) -> Profile:
    """Read the profile of a stream; without one, everything is made up by the stream's schema and declaration.

    Args:
        folder: of the project; ``None`` for a stream that is shipped.
        stream: one of the project's.

    Raises:
        Refused: with a line for each fault.
    """
    reader = _Reader(ProfileFile(folder / PROFILE_FILE) if folder else None, stream)
    profile = reader.read()
    if reader.faults:
        raise Refused("\n".join(map(str, reader.faults)))
    return profile


def find_faults(folder: Path, streams: Iterable[Stream]) -> Iterator[Finding]:
    """Yield everything that is wrong with the profiles of a project."""
    streams = list(streams)
    try:
        file = ProfileFile(folder / PROFILE_FILE)
    except Refused as error:
        yield Finding(Origin(str(folder / PROFILE_FILE), 1), "generator", str(error).partition(": ")[2])
        return
    names = [stream.name for stream in streams]
    for name in file.content:
        if name not in names:
            fault = f"expected a stream of the project, found {name!r}{nearest(name, names)}"
            yield Finding(file.find(name, ""), "generator", fault)
    for stream in streams:
        reader = _Reader(file, stream)
        reader.read()
        yield from reader.faults


class _Reader:
    """Reads the section of one stream, and collects what is wrong with it."""

    def __init__(self, file: ProfileFile | None, stream: Stream) -> None:
        self._file = file
        self._stream = stream
        self._types = {each["name"]: each["type"] for each in json.loads(event_schemas(stream)[-1])["fields"]}
        self.faults: list[Finding] = []

    def read(self) -> Profile:
        given = self._file.content.get(self._stream.name, {}) if self._file else {}
        if not isinstance(given, dict):
            self._fault("", "a section", given)
            return Profile(self._stream, {})
        shares = [each.name for each in fields(Faults)]
        self._check_names("", "setting", given, [*shares, "rate", "simulator", "fields"])
        faults = Faults(**{name: self._number(name, given[name], 0, 1) for name in shares if name in given})
        rate = self._number("rate", given["rate"], 0.001, 10_000_000) if "rate" in given else None
        # without a project, the stream is a shipped one
        simulator = str(given.get("simulator", "" if self._file else OF_SHIPPED.get(self._stream.name, "")))
        if simulator and simulator not in SIMULATORS:
            self._fault("", "simulator to be one", f"{simulator!r}{nearest(simulator, SIMULATORS)}", key="simulator")
            return Profile(self._stream, {})
        simulated = SIMULATORS[simulator].fields if simulator else frozenset[str]()
        return Profile(self._stream, self._read_fields(given.get("fields", {}), simulated), faults, rate, simulator)

    def _read_fields(self, given: Any, simulated: frozenset[str]) -> dict[str, FieldProfile]:
        own = {self._stream.id, self._stream.time}
        names = [name for name in self._types if name not in own]
        if not isinstance(given, dict):
            self._fault("fields", "a section", given)
            return {}
        self._check_names("fields", "field", given, names)
        wanted = [name for name in names if name in given or name not in simulated]
        found = {name: self._read_field(name, given.get(name)) for name in wanted}
        return dict(self._in_order({name: each for name, each in found.items() if each is not None}))

    def _read_field(self, name: str, spec: Any) -> FieldProfile | None:
        kind, nullable = _split(self._types[name])
        if spec is None and nullable and not is_plain(kind):
            return None  # always null: nothing nested can be made up
        if spec is None:
            place = self._stream.position
            together = place is not None and name in {place.lat, place.lon}  # both are known, or neither
            return self._by_type(name, kind, missing=MISSING if nullable and not together else 0.0)
        ways = [way for way in _OPTIONS if isinstance(spec, dict) and way in spec]
        if len(ways) != 1:
            self._fault(name, f"one of {', '.join(_OPTIONS)}", " and ".join(ways) or spec)
            return None
        (way,) = ways
        self._check_names(name, "key", spec, [way, *_OPTIONS[way], "missing", *(["of"] if way in _FOLLOWS else [])])
        if not nullable and "missing" in spec:
            self._fault(name, "no share that is missing: the field cannot be null", spec["missing"])
        of, others = str(spec.get("of", "")), set(self._types) - {name, self._stream.id, self._stream.time}
        if of and of not in others:
            self._fault(name, "of to be another field", f"{of!r}{nearest(of, others)}")
            return None
        distribution = self._distribution(name, kind, way, spec)
        missing = self._number(name, spec.get("missing", 0.0), 0, 1)
        return FieldProfile(distribution, of, missing) if distribution else None

    def _by_type(self, name: str, kind: Any, *, missing: float) -> FieldProfile | None:
        try:
            return FieldProfile(choose_distribution(self._stream, name, kind), missing=missing)
        except Refused as error:
            self.faults.append(Finding(self._where(""), f"generator of {self._stream.name}, {name}", str(error)))
            return None

    def _distribution(self, name: str, kind: Any, way: str, spec: dict[str, Any]) -> Distribution | None:
        if (kinds := _KINDS.get(way)) and kind not in kinds:
            self._fault(name, f"{way} for a field of type {' or '.join(kinds)}", f"one of type {_told(kind)}")
            return None
        if way == "ids":
            count = int(self._number(name, spec[way], 1, _IDS_MAX))
            return Ids(count, self._number(name, spec.get("popular", 0.0), 0, 10), spec.get("prefix", prefix_of(name)))
        if way == "share":
            return share(self._number(name, spec[way], 0, 1))
        if way == "lognormal":
            bounds = {key: self._number(name, spec[key]) for key in ("at_least", "at_most") if key in spec}
            spread = self._number(name, spec.get("spread", 1.0), 0, 10)
            return Lognormal(self._number(name, spec[way], 1e-9), spread, whole=kind in _WHOLE, **bounds)
        if way == "uniform":
            return self._uniform(name, kind, spec[way])
        return self._choice(name, kind, [spec[way]] if way == "constant" else spec[way])

    def _uniform(self, name: str, kind: Any, value: Any) -> Uniform | None:
        bounds = [self._number(name, each) for each in value] if isinstance(value, list) else []
        if len(bounds) != 2 or bounds[0] > bounds[1]:
            self._fault(name, "a lowest and a highest number", value)
            return None
        low, high = bounds
        return Uniform(low, high, whole=kind in _WHOLE)

    def _choice(self, name: str, kind: Any, value: Any) -> Choice | None:
        weights: dict[Any, Any] = {}
        if isinstance(value, dict):
            weights = {_read_key(kind, key): weight for key, weight in value.items()}
        elif isinstance(value, list) and not any(isinstance(each, list | dict) for each in value):
            weights = dict.fromkeys(value, 1.0)
        if not weights:
            self._fault(name, "a list of values, or a table of values and their weights", value)
            return None
        for each in weights:
            if not _fits(kind, each):
                self._fault(name, f"a value of type {_told(kind)}", repr(each))
                return None
        numbers = tuple(self._number(name, weight, 0) for weight in weights.values())
        if not sum(numbers):
            self._fault(name, "weights that are not all 0", value)
            return None
        return Choice(tuple(weights), numbers)

    def _number(self, name: str, value: Any, low: float = -1e18, high: float = 1e18) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            self._fault(name, f"a number from {low:g} to {high:g}", repr(value))
            return max(low, 1.0)
        return float(value)

    def _check_names(self, where: str, what: str, given: Mapping[str, Any], known: list[str]) -> None:
        for name in given:
            if name not in known:
                self._fault(
                    where,
                    f"a {what} of the generator",
                    f"{name!r}{nearest(name, known)}",
                    key=where if where in self._types else name,
                )

    def _in_order(self, found: dict[str, FieldProfile]) -> Iterator[tuple[str, FieldProfile]]:
        """Yield each field after the one that it follows."""
        done: set[str] = set()
        while len(done) < len(found):
            ready = {name: each for name, each in found.items() if name not in done and each.of in {"", *done}}
            if not ready:
                names = sorted(set(found) - done)
                self._fault(names[0], "a field that does not follow itself", f"{', '.join(names)} in a circle")
                return
            yield from ready.items()
            done |= set(ready)

    def _fault(self, what: str, expected: str, found: object, *, key: str = "") -> None:
        part = f"generator of {self._stream.name}{', ' + what if what else ''}"
        self.faults.append(Finding(self._where(key or what), part, f"expected {expected}, found {found}"))

    def _where(self, key: str) -> Origin:
        return self._file.find(self._stream.name, key) if self._file else self._stream.where


def _split(kind: Any) -> tuple[Any, bool]:
    """Return an Avro type without null, and whether it may be null; of a logical type, what lies beneath it."""
    if not isinstance(kind, list):
        return _unwrap(kind), False
    branches = [_unwrap(each) for each in kind if each != "null"]
    return (branches[0] if len(branches) == 1 else branches), "null" in kind


def _unwrap(kind: Any) -> Any:
    return kind["type"] if isinstance(kind, dict) and kind["type"] in ("boolean", "string", *_NUMBERS) else kind


def _read_key(kind: Any, key: str) -> Any:
    """Return a key of a table as a value of a type, where it is one: keys of TOML are texts."""
    try:
        return json.loads(key) if kind in ("boolean", *_NUMBERS) else key
    except ValueError:
        return key


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(kind, dict):
        return value in kind.get("symbols", ())
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    wanted = {"string": str, "int": int, "long": int, "float": int | float, "double": int | float}
    return kind in wanted and isinstance(value, wanted[kind])


def _told(kind: Any) -> str:
    return f"enum of {', '.join(kind['symbols'])}" if isinstance(kind, dict) and "symbols" in kind else str(kind)
