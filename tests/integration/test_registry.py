from __future__ import annotations

from collections.abc import Iterator

import pytest

from infra.registry import Registry
from infra.settings import Settings
from tests.unit.infra.registry_contract import RegistryContract


@pytest.mark.server
class TestRealRegistry(RegistryContract):
    @pytest.fixture
    def registry(self, stack: Settings) -> Iterator[Registry]:
        registry = Registry(stack.registry)
        registry.wait_ready(30.0)
        yield registry
        registry.close()
