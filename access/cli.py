"""``weir keys create | list | revoke | rotate``: who may ask the API for what."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from weir.access.key import Key, Scope, build_key, check_rate, hash_text, make_text, parse_scopes
from weir.access.store import KeyStore
from weir.infra.arguments import Parser, add_stream_flag
from weir.infra.database.engine import open_database
from weir.infra.settings import load_settings
from weir.monitoring.terminal import build_table, print_tables
from weir.schemas.durations import parse_ms
from weir.schemas.errors import Refused
from weir.schemas.printable import escape, to_json
from weir.schemas.project import find_streams

OVERLAP = "24h"


def main(argv: Sequence[str]) -> int:
    """Run one command. Exit codes: 0 done, 1 the database is unreachable, 2 misused or refused."""
    arguments = _build_parser().parse_args(argv[1:])
    with closing(KeyStore(open_database(load_settings()))) as store:
        now_ms = int(time.time() * 1_000)
        if arguments.command == "list":
            keys = store.list_keys()
            sys.stdout.write(to_json([_describe(key, now_ms) for key in keys]) + "\n" if arguments.json else "")
            if not arguments.json:
                _print_table(keys, now_ms)
        elif arguments.command == "create":
            _create(store, arguments, now_ms)
        elif arguments.command == "revoke":
            key = store.revoke(arguments.id, now_ms=now_ms, by=getpass.getuser())
            sys.stdout.write(f"revoked {key.id} ({escape(key.name)}); a running API refuses it within 2 s\n")
        else:
            _rotate(store, arguments, now_ms)
    return 0


def _create(store: KeyStore, arguments: argparse.Namespace, now_ms: int) -> None:
    key_id, text = make_text()
    key = build_key(
        key_id,
        hash_text(text),
        arguments.name,
        parse_scopes(arguments.scopes),
        {stream.name for stream in find_streams(Path.cwd(), arguments.stream).streams} if arguments.stream else (),
        now_ms=now_ms,
        by=getpass.getuser(),
        expires_ms=now_ms + _ms(arguments.expires) if arguments.expires else None,
    )
    rate, burst = check_rate(arguments.rate, arguments.burst)
    key = replace(key, rate_per_second=rate, burst=burst)
    store.add(key)
    _tell(key, text, as_json=arguments.json)


def _rotate(store: KeyStore, arguments: argparse.Namespace, now_ms: int) -> None:
    key_id, text = make_text()
    ends_ms = now_ms + _ms(arguments.overlap)
    key = store.rotate(arguments.id, key_id, hash_text(text), now_ms=now_ms, ends_ms=ends_ms, by=getpass.getuser())
    _tell(key, text, as_json=arguments.json)
    sys.stderr.write(f"{arguments.id} opens what it did until {_time(ends_ms)} at the latest, then nothing\n")


def _tell(key: Key, text: str, *, as_json: bool) -> None:
    """Write a new key where a script reads it, and what to know of it where a person does."""
    document = {**_describe(key, key.created_ms), "key": text}
    sys.stdout.write((to_json(document) if as_json else text) + "\n")
    sys.stderr.write(f"key {key.id} ({escape(key.name)}): {_list_rights(key)}. It is shown this once\n")


def _ms(text: str) -> int:
    found = parse_ms(text)
    if not found:
        raise Refused(f"expected a time such as 12h or 90d, found {escape(text)!r}")
    return found


def _print_table(keys: Sequence[Key], now_ms: int) -> None:
    if not keys:
        sys.stdout.write("there is no key; `weir keys create NAME --scopes admin` makes the first\n")
        return
    columns = ("id", "name", "scopes", "streams", "rate", "created", "last used", "state")
    rows = [
        (
            key.id,
            key.name,
            ", ".join(sorted(key.scopes)),
            ", ".join(sorted(key.streams)) or "all",
            _rate(key),
            _time(key.created_ms),
            _time(key.used_ms) or "never",
            _state(key, now_ms),
        )
        for key in keys
    ]
    print_tables([build_table(columns, rows, box=False)])


def _describe(key: Key, now_ms: int) -> dict[str, Any]:
    """Return what may be shown of a key: neither its text nor its hash."""
    return {
        "id": key.id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "streams": sorted(key.streams),
        "rate_per_second": key.rate_per_second,
        "burst": key.burst,
        "created": _time(key.created_ms),
        "created_by": key.created_by,
        "expires": _time(key.expires_ms),
        "revoked": _time(key.revoked_ms),
        "revoked_by": key.revoked_by,
        "used": _time(key.used_ms),
        "replaces": key.replaces,
        "valid": key.find_fault(now_ms) is None,
    }


def _rate(key: Key) -> str:
    return "default" if key.rate_per_second is None else f"{key.rate_per_second:g}/s, {key.burst} at once"


def _state(key: Key, now_ms: int) -> str:
    if fault := key.find_fault(now_ms):
        return fault
    return f"valid until {_time(key.expires_ms)}" if key.expires_ms is not None else "valid"


def _list_rights(key: Key) -> str:
    rights = f"scopes {', '.join(sorted(key.scopes))}; streams {', '.join(sorted(key.streams)) or 'all'}"
    rights += f"; {_rate(key)}" if key.rate_per_second is not None else ""
    return rights + (f"; until {_time(key.expires_ms)}" if key.expires_ms is not None else "")


def _time(at_ms: int | None) -> str | None:
    return None if at_ms is None else datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%MZ")


def _build_parser() -> argparse.ArgumentParser:
    parser = Parser(prog="weir keys", description="Make, list, revoke and rotate the API's keys.")
    commands = parser.add_subparsers(dest="command", required=True)
    create = commands.add_parser("create", help="make a key and print it, once", description="Make a key.")
    create.add_argument("name", metavar="NAME", help="who uses it, such as checkout")
    create.add_argument("--scopes", required=True, metavar="LIST", help=f"with commas: {', '.join(Scope)}")
    add_stream_flag(create, default="every stream, those to come too", again=True)
    rate = "requests a second that it may send on average (default: the setting WEIR_API__RATE_PER_SECOND)"
    create.add_argument("--rate", type=float, metavar="NUMBER", help=rate)
    burst = "requests that it may send at once after a pause (default: those of a second)"
    create.add_argument("--burst", type=int, metavar="NUMBER", help=burst)
    create.add_argument("--expires", default="", metavar="TIME", help="from now, such as 90d (default: never)")
    rotate = commands.add_parser(
        "rotate", help="replace a key by one with the same rights", description="Rotate a key."
    )
    rotate.add_argument("id", metavar="ID", help="of the key; `weir keys list` shows it")
    overlap = f"how long the old one still opens what it did (default: {OVERLAP})"
    rotate.add_argument("--overlap", default=OVERLAP, metavar="TIME", help=overlap)
    listing = commands.add_parser("list", help="show every key, without its text", description="Show every key.")
    revoke = commands.add_parser("revoke", help="have a key open nothing any more", description="Revoke a key.")
    revoke.add_argument("id", metavar="ID", help="of the key; `weir keys list` shows it")
    for command in (create, rotate, listing):
        command.add_argument("--json", action="store_true", help="for machines")
    return parser
