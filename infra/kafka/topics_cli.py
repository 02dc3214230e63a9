"""``weir topics create | check | repair``: makes topics, says what is wrong with them, and puts it right."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
)

from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.kafka.clients import build_admin
from weir.infra.kafka.topics import (
    TopicFault,
    describe_states,
    ensure_topics,
    find_faults,
    list_unclaimed,
    plan_topics,
)
from weir.infra.settings import KafkaSettings, Settings, load_settings
from weir.schemas.errors import Refused, Transient
from weir.schemas.project import find_streams
from weir.schemas.stream import Stream

_REQUEST_TIMEOUT_SECONDS = 15.0


def main(argv: list[str]) -> int:
    """Run ``weir topics``. Exit codes: 0 all is well, 1 there are faults, 2 refused or misused."""
    parser = Parser(prog="weir topics", description="create, check or repair the topics")
    parser.add_argument("action", choices=("create", "check", "repair"))
    parser.add_argument("--apply", action="store_true", help="repair: set it, after a check of what would be set")
    parser.add_argument("--json", action="store_true", help="print JSON")
    add_stream_flag(parser, default="all of the project, or the payments")
    options = parser.parse_args(argv[1:])
    settings = load_settings()
    streams = find_streams(Path.cwd(), [options.stream] if options.stream else ()).streams
    if options.action == "create":
        return _show_created(ensure_topics(settings, streams), as_json=options.json)
    faults = list(find_faults(plan_topics(settings.topics, streams), describe_states(settings, streams)))
    if options.action == "repair":
        return _repair(settings, streams, faults, apply=options.apply, as_json=options.json)
    unclaimed = [] if options.stream else list_unclaimed(settings, streams)
    return _show_faults(faults, unclaimed, as_json=options.json)


def repair_topics(settings: Settings, streams: Sequence[Stream], faults: list[TopicFault]) -> None:
    """Set what each fault names, and create the topics that are missing. Records and offsets are left alone.

    Raises:
        Refused: the broker refuses one.
        Transient: the brokers did not answer in time.
    """
    ensure_topics(settings, streams)
    for fault in faults:
        if fault.config is not None:
            _set_option(settings.kafka, fault.topic, *fault.config)
        if fault.partitions:
            _set_partitions(settings.kafka, fault.topic, fault.partitions)


def _set_option(kafka: KafkaSettings, topic: str, option: str, value: str) -> None:
    entry = ConfigEntry(option, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    admin = build_admin(kafka)
    _await(admin.incremental_alter_configs([resource], request_timeout=_REQUEST_TIMEOUT_SECONDS), topic)


def _set_partitions(kafka: KafkaSettings, topic: str, count: int) -> None:
    admin = build_admin(kafka)
    _await(admin.create_partitions([NewPartitions(topic, count)], request_timeout=_REQUEST_TIMEOUT_SECONDS), topic)


def _await(futures: object, topic: str) -> None:
    for future in dict(futures).values():  # type: ignore[call-overload] # the client's stub says object
        try:
            future.result(_REQUEST_TIMEOUT_SECONDS)
        except TimeoutError as error:
            raise Transient(f"kafka: no answer when topic {topic} was to be repaired") from error
        except KafkaException as error:
            reason = error.args[0]
            if reason.retriable():
                raise Transient(f"kafka: topic {topic} was not repaired: {reason.str()}") from error
            raise Refused(f"kafka refuses to repair topic {topic}: {reason.str()}") from error


def _repair(
    settings: Settings, streams: Sequence[Stream], faults: list[TopicFault], *, apply: bool, as_json: bool
) -> int:
    if apply:
        repair_topics(settings, streams, faults)
    steps = [_describe(fault) for fault in faults]
    if as_json:
        sys.stdout.write(json.dumps({"applied": apply, "steps": steps}) + "\n")
        return 0
    head = "done" if apply else "plan (nothing was changed; --apply does it)"
    sys.stdout.write("\n".join([f"{head}:", *steps] if steps else ["every topic is as it must be"]) + "\n")
    return 0


def _describe(fault: TopicFault) -> str:
    if fault.config is not None:
        option, value = fault.config
        return f"{fault.topic}: set {option}={value}"
    return f"{fault.topic}: {f'raise to {fault.partitions} partitions' if fault.partitions else 'create it'}"


def _show_created(created: list[str], *, as_json: bool) -> int:
    text = json.dumps({"created": created}) if as_json else "\n".join(created) or "every topic exists"
    sys.stdout.write(text + "\n")
    return 0


def _show_faults(faults: list[TopicFault], unclaimed: list[str], *, as_json: bool) -> int:
    lines = [str(fault.finding) for fault in faults]
    if as_json:
        sys.stdout.write(json.dumps({"faults": lines, "left_alone": unclaimed}) + "\n")
        return 1 if faults else 0
    lines = lines or ["every topic is as it must be"]
    lines += [f"topic {name} belongs to no stream of this project; it is left alone" for name in unclaimed]
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if faults else 0
