"""Five faults on real servers: each reaches the webhook within three minutes, and is silent again once it is fixed.

The rules, the scrape configuration and the routes are the project's own files, in which the ports alone are others.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import binaries
from tests.alerts.breakage import EvictingRedis, OpenTransaction, fill, keep_writing, small_disk
from tests.alerts.monitoring_servers import Receiver, choose_all_ports, running_monitoring, targets_up
from tests.conftest import create_deployment, running_stack
from tests.integration.outputs import Outputs
from tests.integration.payments import Publisher
from tests.integration.services import Services
from tests.integration.streams import build_stream, publish
from tests.unit.inference.bundles import link_champion, write_bundle
from weir.infra.embedded.stack import Stack
from weir.infra.kafka.topics import ensure_topics
from weir.infra.settings import Settings, load_settings

pytestmark = pytest.mark.server

FIRES_SECONDS_MAX = 180.0
SILENT_SECONDS_MAX = 180.0
RECORDS = 40
_ALWAYS = "WeirAlertingWorks"


@dataclass
class Fault:
    """Something broken, the alert that it must raise, and how it is put right.

    Attributes:
        labels: of the alert.
        fix: called as soon as the alert has come.
    """

    labels: dict[str, str]
    fix: Callable[[], object]
    fixed: float | None = None


@pytest.fixture
def cleanup() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.long
@pytest.mark.timeout(600)
def test_five_faults_each_reach_a_person_within_three_minutes_and_are_silent_after(
    tmp_path: Path, cleanup: ExitStack
) -> None:
    binaries.find("prometheus")
    stack = cleanup.enter_context(running_stack())
    other = Stack(tmp_path / "other")
    cleanup.callback(other.stop)
    other.start(("kafka",))
    disk = cleanup.enter_context(small_disk())
    link_champion(tmp_path, write_bundle(tmp_path / "models" / "tiny-1"))
    settings = load_settings({"WEIR_HOME": str(stack.home)}).model_copy(update={"home": tmp_path})
    create_deployment(settings)
    ports = choose_all_ports()
    services = Services(settings, tmp_path / "logs")
    cleanup.callback(services.stop)
    restart_processor, kill_processor = start_processes(
        services, ports, disk=disk, elsewhere=settings_on(settings, other)
    )
    receiver = cleanup.enter_context(running_monitoring(tmp_path, ports))
    services.await_true(lambda: targets_up(ports), "every target being up")
    decide_some(services)
    noise = keep_writing(settings, settings.topics.features, partitions=2)
    cleanup.callback(noise.stop)
    assert receiver.firing() <= {_ALWAYS}

    kill_processor()
    transaction = OpenTransaction(settings, settings.topics.features, partition=0)
    redis = EvictingRedis(settings)
    ballast = fill(disk, leave=0.05)
    other.kill("kafka")
    faults = [
        Fault({"alertname": "WeirProcessIsDown", "job": "weir-processor"}, restart_processor),
        Fault(
            {"alertname": "WeirPartitionIsStuck", "stage": "score", "topic": "features", "partition": "0"},
            transaction.end,
        ),
        Fault({"alertname": "WeirRedisEvicts", "server": "redis"}, redis.end),
        Fault({"alertname": "WeirDiskIsNearlyFull", "job": "weir-index", "place": "home"}, ballast.unlink),
        Fault(
            {"alertname": "WeirDependencyIsAway", "job": "weir-dlq-auto", "dependency": "kafka"},
            lambda: other.start(("kafka",)),
        ),
    ]
    follow(faults, receiver)
    assert receiver.find(alertname="WeirPartitionIsStuck", stage="score", partition="1") == set()


def decide_some(services: Services) -> None:
    """Have some payments decided: a group that never committed anything may not start next to outputs."""
    publish(Publisher(services.settings), build_stream(seed=41, count=RECORDS))
    with closing(Outputs(services.settings)) as outputs:
        outputs.await_settled(RECORDS, services.await_true)


def settings_on(settings: Settings, other: Stack) -> Settings:
    """Return a deployment on the other broker, with its topics."""
    address = other.environment()["WEIR_KAFKA__BOOTSTRAP_SERVERS"]
    kafka = settings.kafka.model_copy(update={"bootstrap_servers": address})
    elsewhere = settings.model_copy(update={"kafka": kafka})
    ensure_topics(elsewhere)
    return elsewhere


def start_processes(
    services: Services, ports: dict[str, int], *, disk: Path, elsewhere: Settings
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Start one process of each kind; return what starts the processor again, and what kills it."""
    settings = services.settings

    def port(name: str) -> tuple[str, str]:
        return "--metrics-port", str(ports[name])

    processor = services.start("process", *port("processor"))
    services.start("score", *port("scorer"))
    services.start("serve", "--port", str(ports["api"]), ready="serving http")
    services.change(settings.model_copy(update={"home": disk}))
    services.start("index", *port("index"))
    services.change(elsewhere)
    services.start("dlq", "auto", *port("dlq-auto"), ready="")
    services.change(settings)

    def kill() -> None:
        processor.process.kill()
        services.await_killed(processor)

    return lambda: services.start("process", *port("processor")), kill


def follow(faults: list[Fault], receiver: Receiver) -> None:
    """Wait until each alert has come in time, put its fault right, and wait until it is said to be over."""
    begun = time.monotonic()
    open_faults = list(faults)
    while open_faults:
        now = time.monotonic()
        for fault in list(open_faults):
            states = receiver.find(**fault.labels)
            if fault.fixed is None:
                if "firing" in states:
                    fault.fix()
                    fault.fixed = time.monotonic()
                assert now - begun < FIRES_SECONDS_MAX, f"{fault.labels} did not fire; firing: {receiver.firing()}"
            elif states == {"resolved"}:
                open_faults.remove(fault)
            else:
                assert now - fault.fixed < SILENT_SECONDS_MAX, f"{fault.labels} still fires"
        time.sleep(0.2)
