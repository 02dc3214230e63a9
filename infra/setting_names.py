"""Which ``WEIR_`` names of an environment are settings, and which only look like it.

An environment is shared. An orchestrator that runs a service called ``weir`` or ``weir-redis`` puts the addresses of
that service into every container next to it, as ``WEIR_SERVICE_HOST`` or ``WEIR_REDIS_PORT_6379_TCP``. Such names are
left alone. Any other name that is not declared is a mistake, and the nearest declared one is named.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

from pydantic import BaseModel

from weir.schemas.errors import Refused

PREFIX = "WEIR_"
_SERVICE_LINK = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP|SCTP)(_PROTO|_PORT|_ADDR)?$"
)
WITHOUT_EFFECT: Final = {
    "WEIR_TOPICS__CLICKS": "nothing reads or writes that topic; one that exists is left alone",
    "WEIR_TOPICS__DEVICES": "nothing reads or writes that topic; one that exists is left alone",
}
"""Settings of the release before that do nothing any more, and why: taken for one release, with one warning."""
_LINK_ADDRESS = re.compile(r"(tcp|udp|sctp)://")
"""``*_PORT`` of a service link holds an address, so a misspelt ``WEIR_API_PORT=8000`` is still seen as a mistake."""


def declared_names(section: type[BaseModel], prefix: str = PREFIX) -> Iterator[str]:
    """Yield the environment's name of every setting."""
    for name, field in section.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from declared_names(kind, f"{prefix}{name.upper()}__")
        else:
            yield f"{prefix}{name.upper()}"


def is_service_link(name: str, value: str) -> bool:
    """Return whether an orchestrator set this name to say where a service is.

    >>> is_service_link("WEIR_REDIS_SERVICE_HOST", "10.0.0.1"), is_service_link("WEIR_PORT", "tcp://10.0.0.1:8000")
    (True, True)
    >>> is_service_link("WEIR_API_PORT", "8000")
    False
    """
    return bool(_SERVICE_LINK.search(name) or (name.endswith("_PORT") and _LINK_ADDRESS.match(value)))


def build_tree(given: dict[str, str], declared: set[str]) -> dict[str, object]:
    """Turn ``WEIR_KAFKA__BOOTSTRAP_SERVERS`` into ``{"kafka": {"bootstrap_servers": ...}}``; empty means the default.

    Args:
        given: names and values; what has another prefix is not looked at.
        declared: names of settings, upper case.

    Raises:
        Refused: a name is neither a setting nor a service link.
    """
    tree: dict[str, object] = {}
    for name, value in given.items():
        if not name.startswith(PREFIX):
            continue
        if name.upper() in WITHOUT_EFFECT:
            _warn(name.upper())
            continue
        if name.upper() not in declared:
            if is_service_link(name, value):
                continue
            raise Refused(_unknown(name, declared))
        if value != "":
            _insert(tree, name.removeprefix(PREFIX).lower().split("__"), value)
    return tree


def _insert(tree: dict[str, object], path: list[str], value: str) -> None:
    *parents, leaf = path
    for parent in parents:
        tree = tree.setdefault(parent, {})  # type: ignore[assignment]  # declared names never put a value here
    tree[leaf] = value


def _unknown(name: str, declared: set[str]) -> str:
    nearest = difflib.get_close_matches(name.upper(), sorted(declared), n=1)
    hint = f"did you mean {nearest[0]}? " if nearest else ""
    return f"setting {name} is not known; {hint}.env.example lists every name"


@cache
def _warn(name: str) -> None:
    """Say once in a process that a setting does nothing."""
    sys.stderr.write(f"weir: setting {name} has no effect: {WITHOUT_EFFECT[name]}; the next release refuses it\n")


def read_env_file(path: Path) -> dict[str, str]:
    """Return the lines ``NAME=value`` of a file; none where there is no file.

    Raises:
        Refused: it cannot be read, or has other lines.
    """
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        raise Refused(f"expected lines NAME=value in {path}, found others; `weir up` writes the file again") from None
