"""The settings that were set and are no secret, by their names in the environment: for people to compare."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr

from weir.infra.home import stack_env_path
from weir.infra.setting_names import PREFIX, read_env_file
from weir.infra.settings import Settings

_OF_THIS_PLACE = frozenset({"WEIR_HOME"})
_USER = re.compile(r"//[^/@]*@")


def list_set(settings: Settings) -> dict[str, str]:
    """Return the names and values that differ from the defaults.

    Secrets are left out, and so is what ``weir up`` says of this machine's servers. Of a URL, who logs in is left out.
    """
    ours = {name.upper() for name in read_env_file(stack_env_path(settings.home))} | _OF_THIS_PLACE
    return {name: value for name, value in _each_set(settings, PREFIX) if name not in ours}


def _each_set(section: BaseModel, prefix: str) -> Iterator[tuple[str, str]]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _each_set(value, f"{prefix}{name.upper()}__")
        elif not isinstance(value, SecretStr) and value != field.default:
            yield f"{prefix}{name.upper()}", _USER.sub("//", _write(value))


def _write(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return json.dumps(list(value)) if isinstance(value, tuple | list) else str(value)
