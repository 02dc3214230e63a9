"""Writes ``.env.example`` from the settings' own declarations: ``python -m weir.infra.env_example > .env.example``."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Literal, get_args, get_origin

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from weir.infra.settings import Settings

_HEAD = """\
# Every setting of Weir with its default. Uncomment and change what differs where you deploy.
# Flags beat the environment, which beats the addresses that `weir up` wrote, which beat these defaults.
# The processes read the environment, not this file: `set -a; source .env; set +a` brings a copy of it there.
"""


def render() -> str:
    """Return the text of ``.env.example``.

    >>> "# WEIR_TOPICS__PARTITIONS=4" in render()
    True
    """
    return _HEAD + "\n".join(_render_section("WEIR_", Settings)) + "\n"


def _render_section(prefix: str, section: type[BaseModel]) -> Iterator[str]:
    plain = {name: field for name, field in section.model_fields.items() if _nested(field) is None}
    yield ""
    yield f"# {(inspect.getdoc(section) or '').splitlines()[0]}"
    for name, field in plain.items():
        yield f"# {prefix}{name.upper()}={_default(field)}{_choices(field)}"
    for name, field in section.model_fields.items():
        nested = _nested(field)
        if nested is not None:
            yield from _render_section(f"{prefix}{name.upper()}__", nested)


def _nested(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _default(field: FieldInfo) -> str:
    value = field.default
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps(value)
    return "" if value is None else str(value)


def _choices(field: FieldInfo) -> str:
    kind = field.annotation
    if isinstance(kind, UnionType):
        (kind,) = (each for each in get_args(kind) if each is not NoneType)
    return f"   # one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else ""


if __name__ == "__main__":
    sys.stdout.write(render())
