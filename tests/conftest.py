"""Fixtures for every test: one stack of real servers a session, and settings that keep tests apart on it."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from weir.infra.embedded.stack import Stack
from weir.infra.kafka.topics import ensure_topics
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, TopicSettings, load_settings

# no test measures a broker, and many start one: without its second compiler it needs half the processor time for that
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")
_NAME_LENGTH_MAX = 60
_COMPILES = pytest.StashKey[subprocess.Popen[bytes]]()
_IS_LOADED = pytest.StashKey[bool]()
_TOPIC_FIELDS = [name for name, field in TopicSettings.model_fields.items() if field.annotation is str]


@contextmanager
def logging_restored() -> Iterator[None]:
    """Take back what a command did to the process by ``configure``: its stream is the test's and closed after it."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


def first_in_ci(first: object, *others: object) -> list[Any]:
    """Return the values of a parameter of which CI runs the first: the others are left to `make test-verify`."""
    return [first, *(pytest.param(each, marks=pytest.mark.verify) for each in others)]


def pytest_configure(config: pytest.Config) -> None:
    """Begin to make what the first tests would wait for while the processes of tests collect."""
    if not _is_worker(config) and config.getoption("numprocesses", None):
        config.stash[_COMPILES] = subprocess.Popen([sys.executable, "-m", "tests.compiled"], cwd=config.rootpath)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Wait for it: it ends long before the tests do."""
    if (compiles := config.stash.get(_COMPILES, None)) is not None:
        compiles.wait()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Wait for what is compiled, and load it, before the first test that may need it is timed."""
    if _is_worker(item.config) and not _is_of_the_house(item.path) and not item.config.stash.get(_IS_LOADED, False):
        from tests.compiled import load_kernel  # noqa: PLC0415 - a single test of another part needs none of it

        load_kernel()
        item.config.stash[_IS_LOADED] = True
    return (yield)


def _is_of_the_house(path: Path) -> bool:
    return path.parent.name == "house"


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what compares with other fixtures, and let those who wait for servers run next to those who compute."""
    _leave_out_of_the_fixtures(config, items)
    items[:] = _mixed(items)


def _leave_out_of_the_fixtures(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what compares with fixtures that were made from other declarations; one test is red and says so."""
    marked = [item for item in items if item.get_closest_marker("of_the_fixtures")]
    if not marked:
        return
    from tests.golden.shipped import ARE_THOSE_KEPT  # noqa: PLC0415 - with what it needs, only where there is one

    if not ARE_THOSE_KEPT:
        items[:] = [item for item in items if item not in marked]
        config.hook.pytest_deselected(items=marked)


def _mixed(items: list[pytest.Item]) -> list[pytest.Item]:
    """Spread the files of integration tests evenly over all others: half of their time is waiting.

    The rules of the house come first: they need no kernel, which one process compiles meanwhile.
    """
    files: dict[Path, list[pytest.Item]] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    waiting = [path for path in files if path.parent.name == "integration"]
    computing = [path for path in files if path not in waiting]
    places = {path: at / len(kind) for kind in (waiting, computing) for at, path in enumerate(kind)}
    in_order = sorted(files, key=lambda path: (not _is_of_the_house(path), places[path]))
    return [item for path in in_order for item in files[path]]


@pytest.fixture(autouse=True)
def _logging_ends_with_the_test() -> Iterator[None]:
    with logging_restored():
        yield


@contextmanager
def running_stack() -> Iterator[Stack]:
    """Servers of one's own, in a home that goes when they end."""
    home = Path(tempfile.mkdtemp(prefix="weir-test-"))
    stack = Stack(home)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def embedded_stack() -> Iterator[Stack]:
    """Real servers in a temporary home, for tests that kill, pause or restart them."""
    with running_stack() as stack:
        yield stack


@pytest.fixture(scope="session")
def stack(embedded_stack: Stack) -> Settings:
    """The settings of the session's servers. Take ``settings_for(stack, prefix)`` before writing anything."""
    return load_settings({"WEIR_HOME": str(embedded_stack.home)})


def settings_for(stack: Settings, prefix: str, *, partitions: int = 2) -> Settings:
    """Return settings of a deployment of its own on the shared servers: other topics, groups and Redis keys.

    Args:
        stack: what the fixture gave.
        prefix: made unique, so the same one may be given again.
        partitions: of every topic.
    """
    unique = f"{re.sub(r'[^a-zA-Z0-9_-]+', '-', prefix)[:_NAME_LENGTH_MAX]}-{uuid.uuid4().hex[:6]}"
    topics = {name: f"{unique}.{TopicSettings.model_fields[name].default}" for name in _TOPIC_FIELDS}
    scorer = {"group": f"{unique}.scorer", "index_group": f"{unique}.index", "cases_group": f"{unique}.cases"}
    return stack.model_copy(
        update={
            "cluster": unique,
            "topics": stack.topics.model_copy(update={**topics, "partitions": partitions}),
            "processor": stack.processor.model_copy(update={"group": f"{unique}.processor"}),
            "scorer": stack.scorer.model_copy(update=scorer),
        }
    )


def create_deployment(settings: Settings) -> None:
    """Create the topics of these settings and register their subjects."""
    ensure_topics(settings)
    registry = Registry(settings.registry)
    try:
        register_contracts(registry, settings.topics)
    finally:
        registry.close()


def environment_of(settings: Settings) -> dict[str, str]:
    """Return the environment in which ``load_settings`` gives these settings, for child processes."""
    plain = json.loads(settings.model_dump_json(exclude_defaults=True))
    flat = {f"WEIR_{name.upper()}": value for name, value in plain.items() if not isinstance(value, dict)}
    for section, values in plain.items():
        if isinstance(values, dict):
            of_section = getattr(settings, section)
            secrets = {name: value for name in values if isinstance(value := getattr(of_section, name), SecretStr)}
            values |= {name: value.get_secret_value() for name, value in secrets.items()}  # JSON has stars
            flat |= {f"WEIR_{section.upper()}__{name.upper()}": value for name, value in values.items()}
    return {name: json.dumps(value) if isinstance(value, list) else str(value) for name, value in flat.items()}


@pytest.fixture
def deployment(stack: Settings, request: pytest.FixtureRequest) -> Settings:
    """A deployment for one test: topics with two partitions, subjects registered, nothing in it."""
    settings = settings_for(stack, request.node.name)
    create_deployment(settings)
    return settings
