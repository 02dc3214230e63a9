"""The embedded broker: Apache Kafka, one KRaft node that is broker and controller."""

from __future__ import annotations

import re
import subprocess
import uuid
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from pathlib import Path

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import AdminClient

from weir.infra.embedded.artifacts import Progress, ensure_kafka_jars
from weir.infra.embedded.java import find_java
from weir.infra.embedded.process import server_environment
from weir.infra.kafka.clients import producer_config
from weir.infra.settings import KafkaSettings
from weir.schemas.errors import WeirError

_FORMAT_TIMEOUT_SECONDS = 60
_SETTLE_SECONDS = 30
_PROPERTIES_NAME, _LOG4J_NAME = "server.properties", "log4j2.properties"
_LOADED = re.compile(r"\((\d+)/(\d+) completed in ")
_UNCLEAN = "since no clean shutdown file was found"
_SEGMENT = re.compile(r"Recovering unflushed segment (\d+)\..* recovered for (\S+)\.")

# Each line that is not the default has its reason.
_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
# relative to the folder that it runs in: the list is split at commas, and a home may have one in its path
log.dirs=data
# a mistyped topic name is an error, not a new topic
auto.create.topics.enable=false
num.partitions=4
# the broker's clock stamps records: retention and "from the future" must not depend on a sender's clock
log.message.timestamp.type=LogAppendTime
# above the largest topic limit (dead letters, 24 MiB)
message.max.bytes=33554432
# positions must be there as long as the log that they point into
offsets.retention.minutes=5256000
transactional.id.expiration.ms=2147483647
log.retention.hours=1440
# one node: no copies, and few partitions, which are what a start has to open
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
# a consumer group forms at once, and a dead one is noticed within a test's patience
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# a transaction whose producer died is aborted within a second of its timeout
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
# the cleaner's default buffer is a quarter of this heap
log.cleaner.dedupe.buffer.size=16777216
num.io.threads=4
"""

_LOG4J = """\
status=error
rootLogger.level=info
rootLogger.appenderRef.out.ref=out
appender.out.type=Console
appender.out.name=out
appender.out.layout.type=PatternLayout
appender.out.layout.pattern=%d{ISO8601} %-5p %c{1} - %m%n
logger.config.name=org.apache.kafka.common.config
logger.config.level=warn
logger.coordinator.name=org.apache.kafka.coordinator
logger.coordinator.level=warn
"""


@dataclass(frozen=True)
class KafkaServer:
    """How to run the broker in ``folder`` on ``port``, its controller on ``controller_port``."""

    folder: Path
    port: int
    controller_port: int
    progress: Progress
    name: str = "kafka"

    @property
    def ports(self) -> tuple[int, ...]:
        """Every port it listens on."""
        return (self.port, self.controller_port)

    def prepare(self) -> list[str]:
        """Fetch the jars, write the configuration, format the storage at first; return the command."""
        jars = ensure_kafka_jars(self.progress)
        properties = self.folder / _PROPERTIES_NAME
        properties.write_text(_PROPERTIES.format(port=self.port, controller_port=self.controller_port))
        (self.folder / _LOG4J_NAME).write_text(_LOG4J)
        if not (self.folder / "data" / "meta.properties").is_file():
            self._format(jars)
        return [*self._java(jars), "-Xms256m", "-Xmx512m", "kafka.Kafka", properties.name]

    def is_ready(self) -> bool:
        """Return whether the broker serves metadata and lists itself."""
        settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{self.port}")
        client = AdminClient(
            # quiet: refused connections are what we wait out
            {"bootstrap.servers": settings.bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 200}
        )
        try:
            return bool(client.list_topics(timeout=2).brokers)
        except KafkaException:
            return False

    def settle(self) -> None:
        """Wait until its transaction coordinator has loaded, so that the next client is served at once.

        Raises:
            WeirError: it did not load in time.
        """
        settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{self.port}")
        # quiet: that it is still loading is what we wait out
        producer = Producer({**producer_config(settings, transactional_id="weir-settle"), "log_level": 0})
        try:
            producer.init_transactions(_SETTLE_SECONDS)
        except KafkaException as error:
            raise WeirError(f"kafka: its transaction coordinator is not ready: {error.args[0].str()}") from error

    def recovery(self, output: str) -> str:
        """Return how far it is with opening its log, as the broker logs it; after an unclean end that may take long."""
        segment, loaded, unclean = None, None, False
        for line in output.splitlines():
            segment = _SEGMENT.search(line) or segment
            loaded = _LOADED.search(line) or loaded
            unclean = unclean or _UNCLEAN in line
        if segment is None and loaded is None:
            return ""
        done = f": {loaded[1]} of {loaded[2]} partitions done" if loaded else ""
        last = f", last at offset {int(segment[1])} of {segment[2]}" if segment else ""
        return f"{'reads its log again after an unclean end' if unclean else 'opens its log'}{done}{last}"

    def _format(self, jars: Path) -> None:
        cluster_id = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # a leading dash would be read as a flag
        cluster_id = cluster_id.replace("-", "A", 1) if cluster_id.startswith("-") else cluster_id
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", cluster_id, "-c", _PROPERTIES_NAME]
        done = subprocess.run(  # nosec B603 # our Java and jars, pinned by digest
            [*self._java(jars), *tool],
            cwd=self.folder,
            env=server_environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_FORMAT_TIMEOUT_SECONDS,
        )
        if done.returncode != 0:
            raise WeirError(f"kafka: formatting its storage failed:\n{(done.stdout + done.stderr)[:2_000]}")

    def _java(self, jars: Path) -> list[str]:
        java = find_java()
        options = [
            "-XX:+UseSerialGC",
            # no second compiler: for minutes it takes two fifths of a broker's CPU, which the pipeline next to it needs
            "-XX:TieredStopAtLevel=1",
            f"-Dlog4j2.configurationFile={_LOG4J_NAME}",
            "-Djava.awt.headless=true",
        ]
        return [java.path, *java.options(), *options, "-cp", f"{jars}/*"]
