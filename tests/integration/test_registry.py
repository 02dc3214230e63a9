from __future__ import annotations

import json
import random
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest

from tests.unit.infra.registry_contract import RegistryContract
from tests.unit.infra.schema_pairs import draw_schema
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.avro.codec import WriterSchema
from weir.schemas.avro.compatibility import LEVELS, check_level, parse_inlined
from weir.schemas.contracts import schema_json
from weir.schemas.errors import PoisonRecord, Refused


@pytest.mark.server
class TestRealRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, stack: Settings) -> Iterator[Registry]:
        registry = Registry(stack.registry)
        registry.wait_ready(30.0)
        yield registry
        registry.close()

    @pytest.mark.parametrize("level", list(LEVELS))
    def test_our_verdict_on_two_random_versions_is_the_registrys(self, registry: Registry, level: str) -> None:
        """The registry asks Java's own implementation of the rules, which shares nothing with ours."""
        rng = random.Random(level)
        verdicts = set()
        for _ in range(60):
            old, new = draw_schema(rng), draw_schema(rng)
            subject = f"oracle-{uuid.uuid4().hex}-value"
            registry.register(subject, old)
            registry.require_level(subject, level)
            try:
                registry.register(subject, new)
                is_refused = False
            except Refused:
                is_refused = True
            ours = check_level(level, new, (old,))
            assert bool(ours) == is_refused, (level, old, new, ours)
            verdicts.add(is_refused)
        assert verdicts == {False} if level == "NONE" else {False, True}

    def test_a_schema_with_references_is_put_together_from_the_registry(
        self, registry: Registry, stack: Settings
    ) -> None:
        tag = uuid.uuid4().hex
        money = {"type": "record", "name": "Money", "namespace": "shop", "fields": [{"name": "units", "type": "bytes"}]}
        fee = {"name": "fee", "type": ["null", "shop.Money"], "default": None}
        ours = json.loads(schema_json("transactions"))
        _post(stack, f"money-{tag}", money)
        reference = {"name": "shop.Money", "subject": f"money-{tag}", "version": 1}
        schema_id = _post(stack, f"t-{tag}-value", ours | {"fields": [*ours["fields"], fee]}, [reference])
        found = registry.writer_schema(schema_id, f"t-{tag}-value")
        assert isinstance(found, WriterSchema)
        assert found.subject_ok
        assert parse_inlined(found.schema)["fields"][-1]["type"][1]["fields"] == [{"name": "units", "type": "bytes"}]
        assert registry.version_texts(f"t-{tag}-value") == [(1, schema_id, found.schema)]

    def test_a_registry_that_knows_no_guids_says_so(self, registry: Registry) -> None:
        found = registry.id_of_guid(uuid.uuid4(), "transactions-value")
        assert isinstance(found, PoisonRecord)
        assert found.reason == "unsupported_schema_guid"


def _post(stack: Settings, subject: str, schema: Any, references: Sequence[Any] = ()) -> int:
    body = {"schema": json.dumps(schema), "schemaType": "AVRO", "references": list(references)}
    answer = httpx.post(f"{stack.registry.url}/subjects/{subject}/versions", json=body, timeout=20)
    return int(answer.json()["id"])
