"""``--map FILE``: which columns of a user's file fill which fields, as a small TOML file.

    [file]                      # all optional: separator, encoding, skip_lines, format, zone, null, key_file
    zone = "Europe/Berlin"
    [columns]                   # a field that is not named here is the column of its own name, if there is one
    card_id = "account"
    customer_id = { join = ["bank", "account"], with = "-" }
    amount_minor = { column = "amt", unit = "major" }
    event_time_ms = { column = "when", unit = "s" }
    currency = { constant = "EUR" }
    [label]                     # with transactions: each row's outcome, published as a label of its own
    column = "fraud"
    delay = "14d"

What is not known here is refused by name, so that a misspelt key is never a column that is silently left out.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from weir.infra.user_files import recipes
from weir.infra.user_files.amounts import MajorUnits
from weir.infra.user_files.fields import Field, fields_of
from weir.infra.user_files.plan import LabelPlan, Plan, Recipe, arrow_schema, plain_recipes
from weir.infra.user_files.times import UNITS, TimeForm, find_zone, parse_base, parse_duration
from weir.infra.user_files.values import Value, parse_value
from weir.schemas.errors import PoisonRecord, Refused
from weir.schemas.stream import Stream
from weir.schemas.streams.payments import payments

FILE_KEYS = ("separator", "encoding", "skip_lines", "format", "zone", "null", "key_file")
_LABEL_KEYS = ("column", "delay", "source", "values", "other")
_WAYS = ("column", "join", "hash", "constant", "row")
_OF_LABELS = ("source",)
"""Fields of a label that [label] itself fills, next to the verdict and the time."""
_OPTIONS = ("with", "values", "other", "unit", "round", "decimal", "thousands", "base", "zone", "format")
_MAPPING_BYTES_MAX = 1 << 20
KEY_BYTES_MIN = 16
"""A shorter key of a keyed hash could be guessed, and card numbers with it."""


@dataclass(frozen=True)
class Mapping:
    """A mapping as it was read; its parts were not yet held to the fields of a kind."""

    path: Path
    file: dict[str, Any] = field(default_factory=dict)
    columns: dict[str, Any] = field(default_factory=dict)
    label: dict[str, Any] = field(default_factory=dict)

    def plan(self, kind: str, stream: Stream = payments) -> Plan:
        """Return which column fills which field of a kind of a stream's records.

        Raises:
            Refused: a field, a key or a value is not known; the message names it.
        """
        return _Planner(self, kind, stream).plan()


def load_mapping(path: Path) -> Mapping:
    """Read a mapping.

    Raises:
        Refused: it is missing, no TOML, or has keys that are not known.
    """
    try:
        data = path.read_bytes()[:_MAPPING_BYTES_MAX]
        found = tomllib.loads(data.decode("utf-8"))
    except OSError as error:
        raise Refused(f"expected a mapping at {path}, found none: {(error.strerror or str(error)).lower()}") from None
    except ValueError as error:
        raise Refused(f"{path}: expected TOML, found: {str(error).lower()}") from None
    _check_keys(path, "section", found, ("file", "columns", "label"))
    for section, contents in found.items():
        if not isinstance(contents, dict):
            raise Refused(f"{path}: expected [{section}] to be a section, found a value")
    mapping = Mapping(path, **found)
    _check_keys(path, "key of [file]", mapping.file, FILE_KEYS)
    _check_keys(path, "key of [label]", mapping.label, _LABEL_KEYS)
    return mapping


def _check_keys(path: Path, what: str, found: Iterable[str], known: Iterable[str]) -> None:
    known = list(known)
    for key in found:
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise Refused(f"{path}: expected a known {what}, found {key!r}; {hint}")


class _Planner:
    def __init__(self, mapping: Mapping, kind: str, stream: Stream) -> None:
        self._mapping = mapping
        self._path = mapping.path
        self._kind = kind
        self._stream = stream
        self._schema = arrow_schema(kind, stream)
        self._fields = {each.name: each for each in fields_of(kind, stream)}
        self._nulls = frozenset(self._texts(mapping.file.get("null", []), "null"))
        zone = mapping.file.get("zone")
        self._zone = None if zone is None else find_zone(str(zone))

    def plan(self) -> Plan:
        fields = self._fields
        whose = "labels" if self._kind == "labels" else self._stream.name
        _check_keys(self._path, f"field of {whose}", self._mapping.columns, fields)
        filled = plain_recipes(self._kind, fields, self._stream)
        named: set[str] = set()
        for name, target in fields.items():
            # a field that is not mapped is read as a mapped one of its own name, so that zone and null hold for it
            given = self._mapping.columns.get(name, name)
            filled[name] = self._recipe(target, given)
            named |= set(filled[name].sources) if name in self._mapping.columns else set()
        label = self._label(named) if self._mapping.label else None
        times = (self._mapping.columns.get(name) for name, each in fields.items() if each.kind == "time")
        zone_given = self._zone is not None or any(isinstance(each, dict) and "zone" in each for each in times)
        return Plan(self._kind, filled, frozenset(named), zone_given, label, self._stream)

    def _label(self, named: set[str]) -> LabelPlan:
        given = self._mapping.label
        if self._kind != "transactions":
            raise Refused(f"{self._path}: expected [label] in a mapping of transactions, found one of {self._kind}")
        if "column" not in given or "delay" not in given:
            raise Refused(
                f"{self._path}: expected column and delay in [label]; a label is known some time after its event"
            )
        fields = {each.name: each for each in fields_of("labels", self._stream)}
        assert self._stream.labels, "fields_of refuses a stream without them"
        verdict = self._stream.labels.verdict
        lacking = {name for name, each in fields.items() if each.required} - {*self._schema.names, *_OF_LABELS}
        if lacking - {verdict, self._stream.labels.time}:
            raise Refused(f"{self._path}: expected a file of labels, found [label]: events have no {min(lacking)}")
        spec = {key: value for key, value in given.items() if key in {"column", "values", "other"}}
        recipe = self._recipe(fields[verdict], spec, arrow_schema("labels", self._stream).field(verdict).type)
        named |= set(recipe.sources)
        return LabelPlan(recipe, parse_duration(str(given["delay"])), str(given.get("source", "file")))

    def _recipe(self, target: Field, given: object, arrow_type: Any = None) -> Recipe:
        arrow_type = self._schema.field(target.name).type if arrow_type is None else arrow_type
        spec: dict[str, Any] = {"column": given} if isinstance(given, str) else given if isinstance(given, dict) else {}
        _check_keys(self._path, f"key of {target.name}", spec, (*_WAYS, *_OPTIONS))
        ways = [way for way in _WAYS if way in spec]
        if len(ways) != 1:
            raise self._refuse(target, f"one of {', '.join(_WAYS)}", " and ".join(ways) or repr(given))
        if spec.get("unit") == "major" and target.currency and ways == ["column"]:
            return recipes.Amount(target, str(spec["column"]), arrow_type, self._units(spec), self._nulls)
        sources, combine = self._combine(target, ways[0], spec)
        parse, own = self._parse(target, spec)
        own = own and ways[0] == "column"
        return recipes.Made(target, sources, arrow_type, combine, parse, own, self._nulls)

    def _combine(self, target: Field, way: str, spec: dict[str, Any]) -> tuple[tuple[str, ...], recipes.Combine]:
        if way == "constant":
            return (), recipes.constant(self._fixed(target, spec["constant"]))
        if way == "row":
            return (), recipes.numbered(str(spec["row"]))
        if way == "column":
            return (str(spec["column"]),), recipes.take_first
        names = tuple(self._texts(spec[way] if isinstance(spec[way], list) else [spec[way]], target.name))
        if way == "hash":
            return names, recipes.hashed(self._key())
        return names, recipes.joined(str(spec.get("with", " ")))

    def _parse(self, target: Field, spec: dict[str, Any]) -> tuple[Callable[[object], Value] | None, bool]:
        """Return how a raw value is read, and whether its unit is still the field's own."""
        if "values" in spec:
            if not isinstance(spec["values"], dict):
                raise self._refuse(target, "values to be a table", repr(spec["values"]))
            values = {text: self._fixed(target, value) for text, value in spec["values"].items()}
            other = self._fixed(target, spec["other"]) if "other" in spec else None
            return recipes.looked_up(target, values, other), False
        if target.kind != "time":
            if "unit" in spec or "base" in spec or "zone" in spec or "format" in spec:
                amounts = [f'unit = "major" of {each.name}, or' for each in self._fields.values() if each.currency]
                amounts = amounts or ["an amount that the stream declares by money(), or"]
                given = ", ".join(name for name in ("unit", "base", "zone", "format") if name in spec)
                raise self._refuse(target, " ".join([*amounts, "a time"]), given)
            return None, True
        zone = find_zone(str(spec["zone"])) if "zone" in spec else self._zone
        unit = spec.get("unit", "ms" if "base" in spec else None)
        if unit is not None and unit not in UNITS:
            raise self._refuse(target, f"unit to be one of {', '.join(UNITS)}", repr(unit))
        base_ms = parse_base(str(spec["base"]), zone) if "base" in spec else 0
        form = TimeForm(unit, base_ms, zone, spec.get("format"))
        return form.parse, unit is None and form.text is None

    def _fixed(self, target: Field, value: object) -> Value:
        """Return a value that the mapping itself holds, as the field's own."""
        try:
            return parse_value(target, value)
        except PoisonRecord as error:
            raise Refused(f"{self._path}: {error}") from None

    def _units(self, spec: dict[str, Any]) -> MajorUnits:
        if spec.get("round", "half_up") != "half_up":
            raise Refused(f'{self._path}: expected round = "half_up", or none, found {spec["round"]!r}')
        return MajorUnits(str(spec.get("decimal", ".")), str(spec.get("thousands", "")), "round" in spec)

    def _key(self) -> bytes:
        name = self._mapping.file.get("key_file")
        if name is None:
            raise Refused(f"{self._path}: expected key_file in [file] for hash; without a secret a hash is no token")
        path = self._path.parent / str(name)
        try:
            key = path.read_bytes()
        except OSError as error:
            raise Refused(f"expected a key at {path}, found none: {(error.strerror or '').lower()}") from None
        if len(key) < KEY_BYTES_MIN:
            raise Refused(f"expected {KEY_BYTES_MIN} random bytes or more in {path}, found {len(key)}")
        return key

    def _texts(self, found: object, name: str) -> list[str]:
        if isinstance(found, list) and all(isinstance(each, str) for each in found):
            return found
        raise Refused(f"{self._path}: expected {name} to be a list of texts, found {found!r}")

    def _refuse(self, target: Field, expected: str, found: str) -> Refused:
        return Refused(f"{self._path}: expected {expected} for {target.name}, found {found}")
