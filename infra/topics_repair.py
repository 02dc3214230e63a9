"""``weir topics repair``: sets what a start refuses topics for. Nothing is deleted and nothing made smaller.

Options are set, partitions of dead letter topics are added, missing topics are created. It shows its plan, and needs
``--apply``. Partitions of inputs are never raised here: ``docs/operations.md`` says how.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewPartitions

from infra.kafka import CLIENT_LOG, admin_config
from infra.settings import Settings
from infra.topics import PARTITIONS, Fault, ensure_topics
from schemas.errors import WeirError

_REQUEST_TIMEOUT_SECONDS = 15.0


def repair_topics(settings: Settings, faults: Sequence[Fault], *, apply: bool, as_json: bool) -> int:
    """Show what would be set, or set it. Exit code 0.

    Raises:
        WeirError: the brokers refused it, or did not answer.
    """
    plan = [{"topic": fault.topic, "option": fault.option or "create", "wanted": fault.wanted} for fault in faults]
    if apply:
        _apply(settings, faults)
    if as_json:
        sys.stdout.write(json.dumps({"applied": apply, "repairs": plan}) + "\n")
        return 0
    for fault in faults:
        what = f"{fault.option}={fault.wanted}" if fault.option else "created"
        sys.stdout.write(f"{fault.topic}: {what}\n")
    if not faults:
        sys.stdout.write("every topic is as it must be\n")
    elif not apply:
        sys.stderr.write("nothing changed; --apply does it\n")
    return 0


def _apply(settings: Settings, faults: Sequence[Fault]) -> None:
    if any(not fault.option for fault in faults):
        ensure_topics(settings)
    admin = AdminClient(admin_config(settings.kafka), logger=CLIENT_LOG)
    try:
        for fault in faults:
            if fault.option == PARTITIONS:
                wanted = [NewPartitions(fault.topic, int(fault.wanted))]
                admin.create_partitions(wanted, request_timeout=_REQUEST_TIMEOUT_SECONDS)[fault.topic].result()
            elif fault.option:
                _set_option(admin, fault)
    except KafkaException as error:
        raise WeirError(f"kafka refuses to repair topic {fault.topic}: {error.args[0].str()}") from error


def _set_option(admin: AdminClient, fault: Fault) -> None:
    entry = ConfigEntry(fault.option, fault.wanted, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, fault.topic, incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource], request_timeout=_REQUEST_TIMEOUT_SECONDS).values():
        future.result()
