"""Servers and processes of one run, in a folder of its own, and deployments that keep contenders apart on them.

Everybody reads one input topic; what they write, and the groups and keys they use, carry the deployment's name.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient

from tests.bench.kafka_log import create_topic, delete_topics, fill
from tests.bench.records import draw_payments, encode
from tests.bench.sizes import Sizes
from weir.generators.encoding import Encoder
from weir.generators.outgoing import Outgoing
from weir.generators.stream import build_encoder
from weir.infra.children import Child, Children, tail
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.clients import admin_config
from weir.infra.kafka.topics import ensure_topics
from weir.infra.redis.client import connect
from weir.infra.registry.cli import register_contracts
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings, load_settings
from weir.schemas.contracts import event_schemas
from weir.schemas.errors import WeirError
from weir.streaming.core.warm_up import warm_up
from weir.streaming.kernels import shipped_kernel

INPUT = "bench.transactions"
PEERS = Path(__file__).parents[2] / "build" / "peers" / "bin" / "python"
_OWN_TOPICS = ("dlq", "dlq_done", "features", "features_dlq", "decisions", "labels", "labels_dlq", "published")
_KEYS_AT_ONCE = 5_000
_STEP_SECONDS_MAX = 600.0


@dataclass(frozen=True)
class Deployment:
    """Names of one contender, as settings."""

    name: str
    environment: dict[str, str]

    @property
    def settings(self) -> Settings:
        return load_settings(self.environment)


@dataclass
class Lab:
    """One run's servers.

    Attributes:
        sizes: of the run.
        home: its folder; the models that scorers load are in it.
        payments: the shared input as it was sent; None before ``prepare``.
        kept: deployments that several scenarios share in all rounds, by name.
        kept_for_round: the same for the scenarios of one round.
        rounds_done: how many have ended.
        missing: figures that need a tool that is not on this machine, and which.
    """

    sizes: Sizes
    home: Path
    stack: Stack
    payments: Outgoing | None = None
    kept: dict[str, Deployment] = field(default_factory=dict)
    kept_for_round: dict[str, Deployment] = field(default_factory=dict)
    rounds_done: int = 0
    missing: dict[str, str] = field(default_factory=dict)

    def deployment(self, name: str, *, transactions: str = INPUT, partitions: int = 0, **more: str) -> Deployment:
        """Create a deployment's topics and subjects; keyword arguments are settings by their ``WEIR_`` names."""
        named = {f"WEIR_TOPICS__{kind.upper()}": f"{name}.{kind}" for kind in _OWN_TOPICS}
        groups = {
            "WEIR_PROCESSOR__GROUP": f"{name}-processor",
            "WEIR_SCORER__GROUP": f"{name}-scorer",
            "WEIR_SCORER__INDEX_GROUP": f"{name}-index",
        }
        chosen = {
            "WEIR_TOPICS__TRANSACTIONS": transactions,
            "WEIR_TOPICS__PARTITIONS": str(partitions or self.sizes.partitions),
        }
        environment = {"WEIR_HOME": str(self.home), **self.stack.environment(), **named, **groups, **chosen, **more}
        settings = load_settings(environment)
        ensure_topics(settings)
        registry = Registry(settings.registry)
        register_contracts(registry, settings.topics)
        registry.close()
        return Deployment(name, environment)

    def encoder(self, settings: Settings) -> Encoder:
        """Return an encoder of transactions under the subject of a deployment's input."""
        registry = Registry(settings.registry)
        try:
            return build_encoder(registry, event_schemas(settings.stream), settings.topics.transactions)
        finally:
            registry.close()

    def prepare(self) -> None:
        """Draw the payments, fill the shared input, compile the kernel."""
        settings = self.deployment("setup").settings
        payments = draw_payments(self.sizes.cards, self.sizes.records, now_ms=int(time.time() * 1_000))
        self.payments = encode(payments, self.encoder(settings), INPUT)
        fill(settings, self.payments)
        warm_up(
            shipped_kernel()
        )  # compiles the kernel where this checkout has not yet; the processes then find it in the cache

    @property
    def settings(self) -> Settings:
        """Return settings that lead to the servers, for what belongs to no deployment."""
        return load_settings({"WEIR_HOME": str(self.home), **self.stack.environment()})

    @contextmanager
    def processes(self, deployment: Deployment | None = None) -> Iterator[Processes]:
        """Give processes that end with the block."""
        environment = deployment.environment if deployment else self.stack.environment()
        name = deployment.name if deployment else "others"
        children = Children(self.home / "logs" / name, environment)
        try:
            yield Processes(children)
        finally:
            children.stop()

    def create_output(self, name: str) -> str:
        """Create the output topic of a program that is not ours, and return its name."""
        topic = f"{name}.out"
        create_topic(self.settings, topic, self.sizes.partitions)
        return topic

    def discard(self, deployment: Deployment) -> None:
        """Delete what a deployment wrote, in Kafka and in Redis."""
        self.delete_topics_of(deployment.name)
        self.delete_keys_of(deployment)

    def end_round(self) -> None:
        """Discard what the scenarios of a round shared."""
        self.rounds_done += 1
        while self.kept_for_round:
            self.discard(self.kept_for_round.popitem()[1])

    def delete_topics_of(self, name: str) -> None:
        """Delete every topic whose name belongs to a contender, those that it made itself included."""
        admin = AdminClient(admin_config(self.settings.kafka))
        mine = re.compile(rf"(^|.*[^a-z0-9]){re.escape(name)}[^a-z0-9]")
        delete_topics(self.settings, [topic for topic in admin.list_topics(timeout=10.0).topics if mine.match(topic)])

    def delete_keys_of(self, deployment: Deployment) -> None:
        """Delete a deployment's view, as a FLUSHALL would."""
        settings = deployment.settings
        self.delete_keys(f"weir:{settings.cluster}:{settings.processor.group}:*")

    def delete_keys(self, pattern: str) -> None:
        """Delete every Redis key that matches."""
        client = connect(self.settings.redis)
        keys: list[bytes] = []
        for key in client.scan_iter(match=pattern, count=_KEYS_AT_ONCE):
            keys.append(key)
            if len(keys) >= _KEYS_AT_ONCE:
                client.unlink(*keys)
                keys.clear()
        if keys:
            client.unlink(*keys)
        client.close()


@dataclass
class Processes:
    """Children of one contender."""

    children: Children

    def weir(self, verb: str, *flags: str) -> Child:
        """Start a command of ours."""
        return self.children.start(verb, [sys.executable, "-m", "weir", verb, *flags])

    def module(self, name: str, *flags: str) -> Child:
        """Start a program of this package."""
        return self.children.start(name, [sys.executable, "-m", f"tests.bench.{name}", *flags])

    def run(self, child: Child, seconds_max: float = _STEP_SECONDS_MAX) -> str:
        """Wait for a command to end and return what it wrote.

        Raises:
            WeirError: it failed.
        """
        code = child.process.wait(seconds_max)
        self.children.running.remove(child)
        if code != 0:
            raise WeirError(f"{child.name} failed with exit code {code}:\n{tail(child)}")
        return child.log_file.read_text(errors="replace")

    def check(self) -> None:
        """Raise when one has died."""
        self.children.check()


@contextmanager
def open_lab(sizes: Sizes) -> Iterator[Lab]:
    """Start servers in an empty folder; all is gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    stack = Stack(home)
    try:
        stack.start()
        yield Lab(sizes, home, stack)
    finally:
        stack.stop()
        shutil.rmtree(home)
