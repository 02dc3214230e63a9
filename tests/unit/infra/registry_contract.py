"""What every registry must do, real or in memory. Inherit, and give the class a ``registry`` fixture."""

from __future__ import annotations

import json
import uuid

import pytest

from infra.registry import SchemaRegistry
from infra.schemas_cli import check_registered, register_contracts
from infra.settings import TopicSettings
from schemas.codec import WriterSchema
from schemas.contracts import TOPIC_KINDS
from schemas.errors import PoisonRecord, Refused


def schema(*optional: str, mandatory: str = "n") -> str:
    """A schema of its own for each call of ``fresh``: the name is the subject's."""
    fields = [{"name": mandatory, "type": "int"}]
    fields += [{"name": name, "type": ["null", "string"], "default": None} for name in optional]
    return json.dumps({"type": "record", "name": "R", "fields": fields})


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
        registry.require_backward(subject)
        with pytest.raises(Refused, match="make the schema read"):
            registry.register(subject, schema(mandatory="other"))
        assert len(registry.version_texts(subject)) == 1

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
        assert [each.version for each in first] == [1, 2, 1, 1, 1, 1, 1]
        assert not any(finding.problem for finding in check_registered(registry, topics))
