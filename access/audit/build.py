"""Connects the audit log of a process."""

from __future__ import annotations

from contextlib import closing
from functools import cache

from weir.access.audit.log import MESSAGE_TIMEOUT_MS, AuditLog
from weir.access.audit.pseudonym import load_pseudonyms
from weir.infra.kafka.clients import build_producer
from weir.infra.registry.client import Registry
from weir.infra.settings import Settings
from weir.schemas.audit import SCHEMA
from weir.schemas.contracts import subject


def open_audit(settings: Settings) -> AuditLog:
    """Return the audit log of a process that calls come to; the brokers and the registry may be away.

    Raises:
        Refused: the key of the pseudonyms is none, or others may read it.
    """
    topic = settings.topics.audit

    @cache
    def find_schema_id() -> int:
        with closing(Registry(settings.registry)) as registry:
            return registry.register(subject(topic), SCHEMA)

    return AuditLog(
        build_producer(settings.kafka, linger_ms=5, message_timeout_ms=MESSAGE_TIMEOUT_MS),
        topic=topic,
        schema_id=find_schema_id,
        name=load_pseudonyms(settings.home).name,
    )
