"""Kafka clients: the only place that knows librdkafka's option names.

Constants here are not settings, because another value breaks a promise: ``acks=all`` and idempotence (nothing lost
or doubled by a retry), ``read_committed`` (aborted outputs are never seen), ``auto.offset.reset=error`` (a lost
position stops the process instead of skipping or repeating the log), ``murmur2_random`` (the same key goes to the
same partition whichever language produced it).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import methodcaller
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer
from confluent_kafka.admin import AdminClient

from weir.infra.settings import KafkaSettings
from weir.schemas.errors import Transient, WeirError

SAME_LINE_SECONDS = 10.0
_KINDS_MAX = 200
_NUMBERS = re.compile(r"[0-9]+")


class Sparing(logging.Filter):
    """Lets a line through from time to time: an unreachable broker is reported some forty times a second otherwise."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._told: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether no line that differs in numbers alone was let through just before."""
        kind, now = _NUMBERS.sub("", record.getMessage()), self._clock()
        if now - self._told.get(kind, -SAME_LINE_SECONDS) < SAME_LINE_SECONDS:
            return False
        if len(self._told) >= _KINDS_MAX:
            self._told.clear()
        self._told[kind] = now
        return True


CLIENT_LOG = logging.getLogger("librdkafka")
"""Where the client reports lost connections and the like; its own default is to write on stderr."""
CLIENT_LOG.addFilter(Sparing())
# a process configures its log and has these lines in it; a command that answers a question does not, and says by itself
# that the brokers do not answer: without any handler, Python would print the client's lines raw before that
CLIENT_LOG.addHandler(logging.NullHandler())
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""Producer bound; topics that carry raw input are created with the matching ``max.message.bytes``."""


class ClientLost(WeirError):
    """The client is beyond repair: another process has its place, or brokers came back and no longer know it.

    Which of the two it was, ``infra/kafka/instance_claim.py`` finds out before new clients are connected
    (``infra/kafka/reconnect.py``).
    """


def _connection(kafka: KafkaSettings) -> dict[str, Any]:
    config: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        # back-off bounds of a broker that is unreachable: quick at first, never a storm
        "reconnect.backoff.ms": 50,
        "reconnect.backoff.max.ms": 2_000,
        "socket.keepalive.enable": True,
        "log.connection.close": False,
    }
    if kafka.security_protocol.startswith("SASL"):
        config |= {
            "sasl.mechanism": kafka.sasl_mechanism,
            "sasl.username": kafka.sasl_username,
            "sasl.password": kafka.sasl_password.get_secret_value(),
        }
    optional = {
        "ssl.ca.location": kafka.ssl_ca_location,
        "ssl.certificate.location": kafka.ssl_certificate_location,
        "ssl.key.location": kafka.ssl_key_location,
        "ssl.key.password": kafka.ssl_key_password.get_secret_value(),
    }
    return config | {name: value for name, value in optional.items() if value}


def admin_config(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the configuration of an ``AdminClient``."""
    return _connection(kafka)


def build_admin(kafka: KafkaSettings, **extra: Any) -> AdminClient:
    """Connect an admin client."""
    with _made():
        return AdminClient(admin_config(kafka) | extra, logger=CLIENT_LOG)


@contextmanager
def _made() -> Iterator[None]:
    """Say in one line why a client cannot be made: as a rule this machine gives us no thread, memory or file."""
    try:
        yield
    except KafkaException as error:
        raise WeirError(
            f"kafka: expected a client, found {error.args[0].str()}; a client needs threads, address space "
            "and file descriptors: see `ulimit -a`, or the limits of its unit or container"
        ) from None


def producer_config(kafka: KafkaSettings, *, transactional_id: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return a producer configuration; ``extra`` holds librdkafka options with ``_`` for ``.``."""
    config = _connection(kafka) | {
        "acks": "all",
        "enable.idempotence": True,
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 5,
        "batch.num.messages": 10_000,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": 1_000_000,
        "queue.buffering.max.kbytes": 1_048_576,
        "message.max.bytes": MAX_MESSAGE_BYTES,
    }
    if transactional_id is not None:
        config |= {"transactional.id": transactional_id, "transaction.timeout.ms": kafka.transaction_timeout_ms}
        # a message must not outlive its transaction
        config |= {"message.timeout.ms": kafka.transaction_timeout_ms}
        # the loop has waited for records already, and a commit waits for every one that is produced before it; one that
        # was not delivered fails the commit, so the delivered ones need no report
        config |= {"linger.ms": 0, "delivery.report.only.error": True}
        # The broker writes a transaction's markers after it has answered the commit, and refuses the next one until
        # then, for a millisecond or two. A small batch that follows at once would wait 100 ms to ask again; it doubles
        # up to retry.backoff.max.ms, so a broker that is unreachable is not stormed.
        config |= {"retry.backoff.ms": 5, "topic.metadata.refresh.fast.interval.ms": 100}
    return config | _dotted(extra)


def consumer_config(kafka: KafkaSettings, *, group: str, instance: str | None = None, **extra: Any) -> dict[str, Any]:
    """Return a consumer configuration; with ``instance`` the membership is static."""
    config = _connection(kafka) | {
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "isolation.level": "read_committed",
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": kafka.session_timeout_ms,
        "heartbeat.interval.ms": max(500, kafka.session_timeout_ms // 10),
        "fetch.wait.max.ms": 10,
        "fetch.message.max.bytes": MAX_MESSAGE_BYTES,
        "queued.min.messages": 50_000,
        "queued.max.messages.kbytes": 131_072,
        "fetch.queue.backoff.ms": 5,
        "enable.partition.eof": False,
        # partitions added while a group works: the client's own five minutes would leave their records waiting
        "topic.metadata.refresh.interval.ms": 10_000,
    }
    if instance is not None:
        config["group.instance.id"] = instance
    return config | _dotted(extra)


def build_producer(kafka: KafkaSettings, *, transactional_id: str | None = None, **extra: Any) -> Producer:
    """Connect a producer. Delivery: exactly once within a transaction, else at least once without reordering."""
    with _made():
        return Producer(producer_config(kafka, transactional_id=transactional_id, **extra), logger=CLIENT_LOG)


def build_consumer(kafka: KafkaSettings, *, group: str, instance: str | None = None, **extra: Any) -> Consumer:
    """Connect a consumer that commits nothing by itself and sees committed records alone."""
    with _made():
        return Consumer(consumer_config(kafka, group=group, instance=instance, **extra), logger=CLIENT_LOG)


_ask_headers = methodcaller("headers")
"""Checks what the client returns however often it is called; ``message.headers()`` does so only while it is cold."""


def read_headers(message: Message) -> list[tuple[str, Any]] | None:
    """Return a message's headers, or ``None`` where it has none; everybody reads them here.

    A header's name may be any bytes, and the client fails on one that is not UTF-8. Nothing of the headers can be had
    then, and the client must not be asked again: its second answer is a list with holes, which ends the process. So
    one header that says so is put in their place.

    The client sets the error and returns a list all the same. A call that Python has specialized as a hot one does not
    look for that: the list with holes would come back as if it were good.
    """
    try:
        headers: list[tuple[str, Any]] | None = _ask_headers(message)
    except Exception as error:  # noqa: BLE001 - a SystemError, and whatever another version of the client makes of it
        headers = [(UNREADABLE_HEADERS, type(error).__name__.encode())]
        message.set_headers(headers)
    return headers


def header_text(message: Message, name: str) -> str | None:
    """Return the last header of that name as text, or ``None``; undecodable bytes are replaced."""
    found: str | None = None
    for key, value in read_headers(message) or []:
        if key == name and value is not None:
            found = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return found


def is_away(message: Message) -> bool:
    """Return whether an error event says that brokers are unreachable, which passes; any other error is raised."""
    try:
        check_message(message)
    except Transient:
        return True
    return False


def check_message(message: Message) -> Message:
    """Return a message that is a record.

    Raises:
        Transient: the client reports that brokers, or we ourselves, were unreachable; polling again is right.
        ClientLost: the client reports that it cannot go on.
        KafkaException: anything else, the loss of a position included.
    """
    error: KafkaError | None = message.error()
    if error is None:
        return message
    if error.retriable() or error.code() in _AWAY:
        raise Transient(f"kafka: {error.str()}")
    if error.fatal() or error.code() == KafkaError._FATAL:
        raise ClientLost(f"kafka: {error.str()}")
    raise KafkaException(error)


_AWAY = frozenset(
    {
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._TRANSPORT,
        KafkaError._RESOLVE,
        KafkaError._TIMED_OUT,
        # this process stalled or was cut off: it is called back for its lost partitions, and the next poll joins again
        KafkaError._MAX_POLL_EXCEEDED,
    }
)

UNREADABLE_HEADERS = "weir.headers.unreadable"


def _dotted(extra: dict[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "."): value for name, value in extra.items()}
