"""The command line: ``weir <verb>``. It dispatches and imports lazily, so that a verb loads only what it needs."""

from __future__ import annotations

import errno
import importlib
import io
import os
import sys
from typing import Any

from weir.schemas.errors import Refused, WeirError, describe_to_command
from weir.schemas.printable import escape

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT}

# verb -> (module with ``main(argv) -> int``, one line of help)
VERBS: dict[str, tuple[str, str]] = {
    "init": ("weir.init", "make a project: a folder with a stream of your own"),
    "check": ("weir.check", "find every fault of a project's streams, and say what a change touches"),
    "up": ("weir.infra.embedded.cli", "start the embedded Kafka, Redis and schema registry"),
    "down": ("weir.infra.embedded.cli", "stop what `up` started"),
    "status": ("weir.infra.embedded.cli", "show each embedded server, its address and health"),
    "logs": ("weir.infra.embedded.cli", "print the end of a server's log"),
    "doctor": ("weir.infra.embedded.cli", "say what is missing on this machine and the command that fixes it"),
    "clean": ("weir.infra.embedded.cli", "show what takes the space, and free what can be freed without loss"),
    "topics": ("weir.infra.kafka.topics_cli", "create, check or repair the topics"),
    "schemas": ("weir.infra.registry.cli", "check or register the Avro schemas"),
    "generate": ("weir.generators.cli", "simulate cardholders, merchants and fraud; publish or write Parquet"),
    "publish": ("weir.generators.publish", "publish a CSV, JSON lines or Parquet file of your own"),
    "process": ("weir.streaming.cli", "run a stream processor"),
    "sessionise": ("weir.streaming.sessions.cli", "make visits of clicks, by a Faust agent"),
    "features": ("weir.archive.features.cli", "list, document, backfill, compare or change features"),
    "dlq": ("weir.streaming.dlq.cli", "list, show, count, replay or discard dead letters"),
    "offsets": ("weir.streaming.offsets.cli", "recover committed offsets from the outputs"),
    "rules": ("weir.publishing", "check, test, publish, show, compare or roll back rules"),
    "lists": ("weir.publishing", "publish, change, show or roll back allow, block and watch lists"),
    "thresholds": ("weir.publishing", "publish, show, compare or roll back review and decline scores"),
    "score": ("weir.inference.cli", "run a scorer"),
    "index": ("weir.inference.cli", "follow the decisions topic into the decision index"),
    "run": ("weir.inference.run", "process and decide in one: features and decisions in one transaction"),
    "serve": ("weir.serve", "serve the HTTP API"),
    "keys": ("weir.access.cli", "make, list, revoke and rotate the API's keys"),
    "audit": ("weir.audit", "show who called the API, and who changed what"),
    "gdpr": ("weir.gdpr.cli", "export or erase what is held about somebody, and show how long topics keep it"),
    "backup": ("weir.backup.cli", "copy cases, keys and the audit log into one file, of one moment"),
    "restore": ("weir.backup.cli", "put such a file back into an empty database and home"),
    "cases": ("weir.case_work", "follow decisions into cases, or open one; list, claim, link and decide them"),
    "console": ("weir.console.cli", "serve pages for the people who work on cases"),
    "train": ("weir.train", "train, check parity, export a model bundle"),
    "models": ("weir.models", "list, compare, promote and roll back models"),
    "retrain": ("weir.retrain", "train again when it is needed: gates, shadow, canary, then decide or not"),
    "monitor": ("weir.monitor", "look for drift of features and score, in the archive"),
    "quality": ("weir.quality", "tell precision, recall and money lost per day, while labels are late"),
    "redteam": ("weir.redteam", "attack a model in simulation, and tell what it costs"),
    "archive": ("weir.archive.cli", "keep every record in Delta Lake tables, exactly once"),
    "evidence": ("weir.archive.evidence.cli", "answer for one decision: made again and proved, from the archive alone"),
    "whatif": ("weir.archive.whatif.cli", "show what other rules, lists or thresholds would have decided"),
    "inspect": ("weir.inspect", "show a card, a transaction or the stream as it is now, or a card as it was"),
    "demo": ("weir.demo.cli", "run everything for a while and show it live"),
    "bench": ("weir.bench", "measure throughput and latency on servers of its own"),
    "benchmark": ("weir.benchmark", "train and judge models by a published protocol and by our own"),
    "completion": ("weir.completion", "print a script that completes commands in bash, zsh or fish"),
}


def main(argv: list[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 done, 1 failed, 2 misused or refused."""
    arguments = sys.argv[1:] if argv is None else argv
    _write_any_text()
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        sys.stdout.write(_usage())
        return 0 if arguments else 2
    if arguments[0] in {"-V", "--version", "version"}:
        sys.stdout.write(_version())
        return 0
    verb = arguments[0]
    if verb not in VERBS:
        sys.stderr.write(f"weir: expected a verb, found {verb!r}{_guess(verb)}; `weir --help` lists them\n")
        return 2
    try:
        return _run(arguments)
    except WeirError as error:
        # a server's last words are several lines; indented, none of them passes for one of ours
        lines = "\n  ".join(map(escape, describe_to_command(error).split("\n")))
        sys.stderr.write(f"weir {verb}: {lines}\n")
        return 2 if isinstance(error, Refused) else 1
    except OSError as error:
        if error.filename is None and error.errno not in _DISK_FULL:
            raise  # not of a file: a fault of ours
        sys.stderr.write(f"weir {verb}: {_file_error(error)}\n")
        return 1 if error.errno in _DISK_FULL else 2


def _write_any_text() -> None:
    """Escape what a terminal's encoding lacks: an id in any script must not end a command under LANG=C."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _run(arguments: list[str]) -> int:
    if arguments[0] != "doctor" and not {"-h", "--help"} & set(arguments):  # the doctor says it with all else
        from weir.infra.settings import check_setting_names  # noqa: PLC0415  (most commands load settings later)

        check_setting_names()
    try:
        return int(_load(arguments[0]).main(arguments))
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # the reader of our output went away, as `| head` does; what is still buffered has nowhere to go
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _load(verb: str) -> Any:
    try:
        return importlib.import_module(VERBS[verb][0])
    except ModuleNotFoundError as error:  # an image for serving has neither the demo nor the training packages
        raise Refused(f"this installation has no {error.name}; `make setup` in a checkout brings everything") from error


def _file_error(error: OSError) -> str:
    """Say what the file system refused; where it is full, what shows the reason."""
    at = f"{error.filename}: " if error.filename is not None else ""
    hint = "; `weir doctor` says what takes the space" if error.errno in _DISK_FULL else ""
    return f"{at}{(error.strerror or 'cannot be used').lower()}{hint}"


def _guess(verb: str) -> str:
    from weir.infra.arguments import nearest  # noqa: PLC0415  (only a mistake needs it)

    return nearest(verb, list(VERBS))


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  (slow to import)

    try:
        own = version("weir")
    except PackageNotFoundError:  # copied and not installed, as in the image
        own = "of a checkout"
    return f"weir {own}, Python {sys.version.split()[0]}\n"


def _usage() -> str:
    lines = [f"  {verb:<10} {help_line}" for verb, (_, help_line) in VERBS.items()]
    return "weir <verb> [--flags]; each verb has --help\n\n" + "\n".join(lines) + "\n"
