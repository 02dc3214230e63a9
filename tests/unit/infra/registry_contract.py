"""What every registry must do, real or in memory. Inherit, and give the class a ``registry`` fixture."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from weir.infra.registry.cli import check_registered, register_contracts
from weir.infra.registry.client import SchemaRegistry
from weir.infra.settings import TopicSettings
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.avro.compatibility import LEVELS
from weir.schemas.contracts import TOPIC_KINDS, schema_json
from weir.schemas.errors import PoisonRecord, Refused


def schema(*optional: str, mandatory: str = "n") -> str:
    """A schema of its own for each call of ``fresh``: the name is the subject's."""
    fields: list[dict[str, Any]] = [{"name": mandatory, "type": "int"}]
    fields += [{"name": name, "type": ["null", "string"], "default": None} for name in optional]
    return json.dumps({"type": "record", "name": "R", "fields": fields})


def foreign(kind: str, change: str) -> str:
    """Our newest schema as somebody else changed it."""
    ours = json.loads(schema_json(kind))
    fields = ours["fields"]
    fee = {"name": "fee", "type": {"type": "bytes", "logicalType": "decimal", "precision": 12, "scale": 2}}
    changed = {
        "without a field": [field for field in fields if field["name"] != "merchant_id"],
        "another type": [f | {"type": "double"} if f["name"].endswith("event_time_ms") else f for f in fields],
        "a further mandatory field": [*fields, fee],
        "a further optional field": [*fields, fee | {"type": ["null", fee["type"]], "default": None}],
        "our own next version": [*fields, {"name": "terminal", "type": ["null", "string"], "default": None}],
    }[change]
    return json.dumps(ours | {"fields": changed})


def record(**fields: str) -> str:
    """A schema with these fields, each ``type`` or ``type=default``."""
    built = []
    for name, text in fields.items():
        kind, _, default = text.partition("=")
        built.append({"name": name, "type": kind} | ({"default": int(default)} if default else {}))
    return json.dumps({"type": "record", "name": "R", "fields": built})


_ANY = " ".join(LEVELS)
_BACKWARD, _FORWARD = "NONE BACKWARD BACKWARD_TRANSITIVE", "NONE FORWARD FORWARD_TRANSITIVE"
CHANGES: dict[str, tuple[list[str], str]] = {
    # versions, and the levels that allow the last of them
    "an optional field more": ([record(n="int"), record(n="int", a="int=0")], _ANY),
    "an optional field less": ([record(n="int", a="int=0"), record(n="int")], _ANY),
    "a mandatory field more": ([record(n="int"), record(n="int", a="int")], _FORWARD),
    "a mandatory field less": ([record(n="int", a="int"), record(n="int")], _BACKWARD),
    "a wider type": ([record(n="int"), record(n="long")], _BACKWARD),
    "a narrower type": ([record(n="long"), record(n="int")], _FORWARD),
    "another field": ([record(n="int"), record(m="int")], "NONE"),
    "not read by the version before the last": (
        [record(n="int", a="int"), record(n="int", a="int=0"), record(n="int")],
        "NONE BACKWARD BACKWARD_TRANSITIVE FORWARD FULL",
    ),
    "not reading the version before the last": (
        [record(n="int"), record(n="int", a="int=0"), record(n="int", a="int")],
        "NONE BACKWARD FORWARD FORWARD_TRANSITIVE FULL",
    ),
}


class RegistryContract:
    """The suite."""

    @pytest.fixture
    def subject(self) -> str:
        return f"contract-{uuid.uuid4().hex}-value"

    def test_registering_again_gives_the_same_id(self, registry: SchemaRegistry, subject: str) -> None:
        first = registry.register(subject, schema())
        assert registry.register(subject, schema()) == first
        assert registry.latest_id(subject) == first

    def test_versions_come_back_oldest_first_with_their_ids(self, registry: SchemaRegistry, subject: str) -> None:
        assert registry.version_texts(subject) == []
        ids = [registry.register(subject, schema()), registry.register(subject, schema("a"))]
        found = registry.version_texts(subject)
        assert [(number, schema_id) for number, schema_id, _ in found] == list(enumerate(ids, start=1))
        assert [json.loads(text) for _, _, text in found] == [json.loads(schema()), json.loads(schema("a"))]

    def test_an_id_of_the_subject_is_its_own_and_of_another_is_foreign(
        self, registry: SchemaRegistry, subject: str
    ) -> None:
        mine = registry.register(subject, schema(mandatory=f"f{uuid.uuid4().hex}"))
        own, foreign = registry.writer_schema(mine, subject), registry.writer_schema(mine, "x" + subject)
        assert isinstance(own, WriterSchema)
        assert isinstance(foreign, WriterSchema)
        assert (own.subject_ok, foreign.subject_ok) == (True, False)
        assert json.loads(own.schema) == json.loads(foreign.schema)

    def test_one_text_under_two_subjects_belongs_to_both(self, registry: SchemaRegistry, subject: str) -> None:
        ids = {registry.register(name, schema()): name for name in (subject, "x" + subject)}
        for schema_id, name in ids.items():
            found = registry.writer_schema(schema_id, name)
            assert isinstance(found, WriterSchema)
            assert found.subject_ok

    @pytest.mark.parametrize("schema_id", [0, (1 << 31) - 1, 1 << 31, (1 << 32) - 1])
    def test_an_id_that_was_never_given_is_unknown(
        self, registry: SchemaRegistry, subject: str, schema_id: int
    ) -> None:
        found = registry.writer_schema(schema_id, subject)
        assert isinstance(found, PoisonRecord)
        assert found.reason == "unknown_schema_id"

    def test_backward_refuses_a_version_that_cannot_read_the_one_before(
        self, registry: SchemaRegistry, subject: str
    ) -> None:
        registry.register(subject, schema())
        registry.require_level(subject, "BACKWARD")
        with pytest.raises(Refused, match="make the schema read"):
            registry.register(subject, schema(mandatory="other"))
        assert len(registry.version_texts(subject)) == 1

    @pytest.mark.parametrize("level", list(LEVELS))
    def test_a_level_is_answered_as_it_was_set(self, registry: SchemaRegistry, subject: str, level: str) -> None:
        registry.register(subject, schema())
        registry.require_level(subject, level)
        assert registry.level(subject) == level
        registry.require_level(subject, "FULL")
        assert registry.level(subject) == "FULL"

    def test_a_subject_without_a_level_is_held_to_none(self, registry: SchemaRegistry, subject: str) -> None:
        assert registry.level(subject) == "NONE"
        registry.register(subject, schema())
        assert registry.level(subject) == "NONE"
        registry.register(subject, schema(mandatory="other"))

    @pytest.mark.parametrize("level", list(LEVELS))
    @pytest.mark.parametrize("change", list(CHANGES))
    def test_a_level_is_obeyed(self, registry: SchemaRegistry, subject: str, level: str, change: str) -> None:
        versions, allowed = CHANGES[change]
        for text in versions[:-1]:
            registry.register(subject, text)
        registry.require_level(subject, level)
        if level in allowed.split():
            registry.register(subject, versions[-1])
        else:
            with pytest.raises(Refused, match="make the schema read"):
                registry.register(subject, versions[-1])

    def test_none_after_another_level_is_obeyed(self, registry: SchemaRegistry, subject: str) -> None:
        registry.register(subject, schema())
        registry.require_level(subject, "FULL_TRANSITIVE")
        registry.require_level(subject, "NONE")
        registry.register(subject, schema(mandatory="other"))
        assert len(registry.version_texts(subject)) == 2

    def test_what_is_no_schema_is_refused(self, registry: SchemaRegistry, subject: str) -> None:
        with pytest.raises(Refused):
            registry.register(subject, '{"type": "record"}')

    def test_a_subject_without_a_schema_names_the_mend(self, registry: SchemaRegistry, subject: str) -> None:
        with pytest.raises(Refused, match="weir schemas register"):
            registry.latest_id(subject)

    def test_the_contracts_register_in_order_and_again_changes_nothing(
        self, registry: SchemaRegistry, subject: str
    ) -> None:
        topics = TopicSettings(**{kind: f"{subject}-{kind}" for kind in TOPIC_KINDS})
        first = register_contracts(registry, topics)
        assert register_contracts(registry, topics) == first
        assert [each.version for each in first] == [1, 2, 1, 1, 1, 1]
        assert not any(finding.problem for finding in check_registered(registry, topics))

    def test_what_is_missing_is_named_but_not_the_audit_log_which_its_first_writer_registers(
        self, registry: SchemaRegistry, subject: str
    ) -> None:
        topics = TopicSettings(**{kind: f"{subject}-{kind}" for kind in TOPIC_KINDS}, audit=f"{subject}-audit")
        missing = {found.subject for found in check_registered(registry, topics) if found.problem}
        assert missing == {f"{subject}-{kind}-value" for kind in ("transactions", "labels", "features", "decisions")}

    @pytest.mark.parametrize("kind", ["transactions", "labels"])
    @pytest.mark.parametrize("change", ["without a field", "another type", "a further mandatory field"])
    def test_a_producer_cannot_register_what_we_do_not_read(
        self, registry: SchemaRegistry, subject: str, kind: str, change: str
    ) -> None:
        topics = TopicSettings(**{each: f"{subject}-{each}" for each in TOPIC_KINDS})
        register_contracts(registry, topics)
        with pytest.raises(Refused):
            registry.register(f"{subject}-{kind}-value", foreign(kind, change))
        assert not any(finding.problem for finding in check_registered(registry, topics))

    @pytest.mark.parametrize("kind", ["transactions", "labels"])
    def test_a_producer_may_add_an_optional_field_and_our_next_version_still_registers(
        self, registry: SchemaRegistry, subject: str, kind: str
    ) -> None:
        topics = TopicSettings(**{each: f"{subject}-{each}" for each in TOPIC_KINDS})
        register_contracts(registry, topics)
        registry.register(f"{subject}-{kind}-value", foreign(kind, "a further optional field"))
        registry.register(f"{subject}-{kind}-value", foreign(kind, "our own next version"))
        assert register_contracts(registry, topics)
        assert not any(finding.problem for finding in check_registered(registry, topics))

    @pytest.mark.parametrize("change", ["without a field", "another type"])
    def test_a_foreign_version_under_an_old_level_is_reported_with_its_number_and_the_fix(
        self, registry: SchemaRegistry, subject: str, change: str
    ) -> None:
        topics = TopicSettings(**{each: f"{subject}-{each}" for each in TOPIC_KINDS})
        name = f"{subject}-transactions-value"
        registry.register(name, schema_json("transactions", 1))
        registry.register(name, foreign("transactions", change))
        registered = register_contracts(registry, topics)
        assert [each.version for each in registered if each.subject == name] == [1]  # ours is refused meanwhile
        problems = [f for f in check_registered(registry, topics, "http://registry") if f.problem]
        (foreign_one,) = [f for f in problems if "v2" in f.compared]
        assert "curl -X DELETE http://registry/subjects/" in foreign_one.problem
        assert f"{name}/versions/2`" in foreign_one.problem
        assert registry.level(name) == "FULL_TRANSITIVE"

    def test_one_command_turns_a_level_that_points_the_wrong_way(self, registry: SchemaRegistry, subject: str) -> None:
        topics = TopicSettings(**{each: f"{subject}-{each}" for each in TOPIC_KINDS})
        register_contracts(registry, topics)
        for kind in TOPIC_KINDS:
            registry.require_level(f"{subject}-{kind}-value", "FORWARD" if kind == "features" else "BACKWARD")
        wrong = [f for f in check_registered(registry, topics) if f.problem]
        assert {f.subject.removeprefix(f"{subject}-") for f in wrong} == {
            "transactions-value",
            "labels-value",
            "features-value",
        }
        assert all("weir schemas register" in f.problem for f in wrong)
        register_contracts(registry, topics)
        assert not any(finding.problem for finding in check_registered(registry, topics))
