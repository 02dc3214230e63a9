from __future__ import annotations

import random
import uuid
from collections.abc import Iterator

import pytest

from infra.registry import Registry
from infra.settings import Settings
from schemas.compatibility import LEVELS, check_level
from schemas.errors import Refused
from tests.unit.infra.registry_contract import RegistryContract
from tests.unit.infra.schema_pairs import draw_schema


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
            ours = check_level(level, new, [old])
            assert bool(ours) == is_refused, (level, old, new, ours)
            verdicts.add(is_refused)
        assert verdicts == {False} if level == "NONE" else {False, True}
